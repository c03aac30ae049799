"""Decide whether a run is submitted again, with how much memory, and which nodes to exclude."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from launch.specs.resources import Resources
from launch.store.attempts import attempt_numbers, attempt_path, find_attempt
from launch.store.manifest import Manifest
from launch.store.state import Reason, State
from launch.store.view import RunView
from launch.supervise.retry_policy import failed_nodes, node_failures

# If an attempt ends with one of these reasons, its node may be the cause.
_OF_THE_NODE = (Reason.KILLED, Reason.START, Reason.MACHINE, Reason.NODE_FAILURE)


def resources_for_retry(view: RunView, retried: int) -> Resources:
    """Return the resources of a run's next attempt: more memory for every attempt that ran out of memory.

    Args:
        view: The view of the run.
        retried: The newest generation in which the user asked to retry the run; earlier attempts do not count.
    """
    resources = view.resources
    if view.reason is not Reason.OUT_OF_MEMORY or resources.mem_gb is None or resources.mem_growth <= 1:
        return resources
    records = (find_attempt(attempt_path(view.run_dir, number)) for number in attempt_numbers(view.run_dir))
    times = sum(r is not None and r.reason is Reason.OUT_OF_MEMORY and r.generation >= retried for r in records)
    return replace(resources, mem_gb=round(resources.mem_gb * resources.mem_growth**times, 3))


def should_resubmit(view: RunView, manifest: Manifest) -> bool:
    """Return whether a run may be submitted again without a request of the user.

    A run that the user stopped may not. A lost run, whose last attempt has no recorded end, counts as killed; if Slurm
    says that its node failed, as a node failure. It may be submitted again as often as the retry policy says for this.
    """
    if view.state is State.LOST:
        policy = manifest.headers[view.generation].retry
        by_nodes = len(failed_nodes(view.run_dir, since=0))
        if view.reason is Reason.NODE_FAILURE:
            return by_nodes + 1 <= node_failures(policy)
        records = (find_attempt(attempt_path(view.run_dir, number)) for number in attempt_numbers(view.run_dir))
        killed = sum(record is None or not record.has_ended for record in records)
        return killed - by_nodes <= policy.get(Reason.KILLED.value, 0)
    return view.state is State.PLANNED or view.reason is not Reason.INTERRUPTED


def excluded_nodes(views: Sequence[RunView], after: int) -> list[str]:
    """Return the nodes to exclude, sorted: at least `after` runs were killed there, and runs work on other nodes.

    Args:
        views: The views of the runs of the sweep.
        after: The number of runs; 0 to exclude no nodes.
    """
    if after <= 0:
        return []
    bad = Counter(node for view in views for node in _bad_nodes(view))
    good = {view.host for view in views if view.state in (State.SUCCEEDED, State.RUNNING)}
    # If runs succeed on no other node, the node is not the cause, and excluding all nodes would not help.
    return sorted(node for node, runs in bad.items() if runs >= after and good - {node, None})


def _bad_nodes(view: RunView) -> set[str]:
    """Return the nodes on which attempts of a run were killed, or have no recorded end."""
    last = view.state is State.LOST or (view.reason in _OF_THE_NODE and view.state is not State.SUCCEEDED)
    found = {view.host} if view.host and last else set[str]()
    for number in range(view.attempts - 1):  # most runs have one attempt: nothing is read
        record = find_attempt(attempt_path(view.run_dir, number))
        if record is not None and (not record.has_ended or record.reason in _OF_THE_NODE):
            found.add(record.machine)
    return found
