"""What becomes of a run that is submitted again: with how much memory, on which nodes, and whether it is worth it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from launch.disk.attempts import attempt_numbers, attempt_path, read_plain
from launch.disk.manifest import Manifest
from launch.records import Reason, RunView, State
from launch.resources import Resources

# An attempt that ends so may have been the node's fault.
_OF_THE_NODE = (Reason.KILLED, Reason.START)


def given(view: RunView, retried: int) -> Resources:
    """Return what a run's next attempt is given: more memory for every attempt that ran out of it.

    Args:
        view: The run.
        retried: The newest generation that lists it because the user asked to retry; earlier attempts do not count.
    """
    resources = view.resources
    if view.reason is not Reason.OUT_OF_MEMORY or resources.mem_gb is None or resources.mem_growth <= 1:
        return resources
    records = (read_plain(attempt_path(view.run_dir, number)) for number in attempt_numbers(view.run_dir))
    times = sum(r.get("reason") == Reason.OUT_OF_MEMORY and r.get("generation", 0) >= retried for r in records)
    return replace(resources, mem_gb=round(resources.mem_gb * resources.mem_growth**times, 3))


def is_worth(view: RunView, manifest: Manifest) -> bool:
    """Say whether a run may be submitted again without a person asking.

    What was stopped by somebody's hand waits for a person. What left no word was killed with its supervisor, as by
    a node that failed; the policy for killed runs limits it.
    """
    if view.state is State.LOST:
        allowed = manifest.headers[view.generation].retry.get(Reason.KILLED.value, 0)
        return sum(_left_no_word(view.run_dir, number) for number in attempt_numbers(view.run_dir)) <= allowed
    return view.state is State.PLANNED or view.reason is not Reason.INTERRUPTED


def _left_no_word(run_dir: str, attempt: int) -> bool:
    return read_plain(attempt_path(run_dir, attempt)).get("ended") is None


def excluded_nodes(views: Sequence[RunView], after: int) -> list[str]:
    """Return the nodes on which so many runs were killed that they are avoided, sorted.

    Args:
        views: The runs of the sweep as they stand.
        after: How many runs; 0 for never.
    """
    bad = Counter(view.host for view in views if view.host and _was_killed(view))
    good = {view.host for view in views if view.state in (State.SUCCEEDED, State.RUNNING)}
    # Where no node has done any better, the fault is not the node's, and avoiding all of them helps nobody.
    return sorted(node for node, runs in bad.items() if node and 0 < after <= runs and good - {node, None})


def _was_killed(view: RunView) -> bool:
    return view.state is State.LOST or (view.reason in _OF_THE_NODE and view.state is not State.SUCCEEDED)
