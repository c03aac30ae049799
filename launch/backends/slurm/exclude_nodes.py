"""Keeps waiting tasks from the nodes on which runs were killed since they were submitted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from launch.backends.slurm.arrays import Array, excluded_nodes, record_excluded_nodes
from launch.backends.slurm.client import ClientError, run_client
from launch.backends.slurm.job_dependencies import pending_tasks
from launch.backends.slurm.squeue import QueueSnapshot, task_words


def exclude_failed_nodes(
    folder: str, arrays: Sequence[Array], listing: QueueSnapshot, nodes: Sequence[str], always: str | None
) -> None:
    """Have Slurm keep the waiting tasks of arrays from some nodes.

    Args:
        folder: The sweep's folder.
        arrays: Its arrays that are in the queue.
        listing: The queue.
        nodes: The nodes.
        always: Nodes that the profile excludes, which the new list must name too.

    Raises:
        BackendError: If Slurm does not answer.
    """
    for array in arrays if nodes else ():
        waiting = list(pending_tasks(array, listing))
        if not waiting or array.job is None or excluded_nodes(folder, array.record.uuid).issuperset(nodes):
            continue
        names = ",".join([*([always] if always else []), *nodes])
        with suppress(ClientError):  # the tasks have begun, or the node has left the cluster
            run_client(["scontrol", "update", f"jobid={task_words(array.job, waiting)}", f"excnodelist={names}"])
        record_excluded_nodes(folder, array.record.uuid, nodes)
