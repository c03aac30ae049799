"""Keeps what waits in the queue from nodes on which runs were killed since it was submitted."""

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
    """Have Slurm keep the tasks of arrays that wait from some nodes.

    Args:
        folder: The sweep's folder.
        arrays: Its arrays that are in the queue.
        listing: The queue.
        nodes: The nodes.
        always: Nodes that the profile excludes, which the list of a job must go on to name.

    Raises:
        BackendError: Where Slurm does not answer.
    """
    for array in arrays if nodes else ():
        waiting = list(pending_tasks(array, listing))
        if not waiting or array.job is None or excluded_nodes(folder, array.record.uuid).issuperset(nodes):
            continue
        names = ",".join([*([always] if always else []), *nodes])
        with suppress(ClientError):  # begun since, or a node that the cluster has no more
            run_client(["scontrol", "update", f"jobid={task_words(array.job, waiting)}", f"excnodelist={names}"])
        record_excluded_nodes(folder, array.record.uuid, nodes)
