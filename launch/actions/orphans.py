"""Ending containers whose supervisors are gone. Commands that start runs do this; status never does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from launch.errors import BackendError, StoreError
from launch.store import processes
from launch.store.attempts import attempt_path, find_attempt
from launch.store.liveness import is_here
from launch.store.records import AttemptRecord
from launch.store.view import RunView
from launch.supervise.container_session import end_container

# Each container has its own time for a checkpoint: one after the other, those of a machine with eight GPUs would take
# minutes.
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class StuckContainer:
    """A run whose container may still be at work.

    Attributes:
        view: The run.
        error: Why it could not be ended, and what helps.
    """

    view: RunView
    error: StoreError


def end_orphans(views: Iterable[RunView]) -> list[StuckContainer]:
    """End the containers that no supervisor watches; each has the time to write a checkpoint.

    Args:
        views: The runs to look at.

    Returns:
        Those that could not be ended, for example because their engine does not answer.
    """
    left = [(view, record) for view in views if (record := _unwatched(view))]
    if not left:
        return []
    from concurrent.futures import ThreadPoolExecutor  # most commands find nothing to end

    with ThreadPoolExecutor(min(_AT_ONCE, len(left))) as pool:
        return [stuck for stuck in pool.map(_end, left) if stuck is not None]


def refuse_stuck(containers: Sequence[StuckContainer]) -> None:
    """Raise if a container may still be at work.

    Raises:
        BackendError: With the first of them, and how many more there are.
    """
    if containers:
        first, others = containers[0].error, len(containers) - 1
        more = f"; {others} more {'run has' if others == 1 else 'runs have'} the same problem" if others else ""
        raise BackendError(first.message + more, hint=first.hint)


def _unwatched(view: RunView) -> AttemptRecord | None:
    """Return the record of an attempt whose container an engine here may hold, without a supervisor."""
    record = find_attempt(_path(view)) if view.attempts else None
    if record is None or record.image is None or record.has_ended or not is_here(record):
        return None
    return None if processes.is_alive(record.pid, record.pid_start) else record


def _end(left: tuple[RunView, AttemptRecord]) -> StuckContainer | None:
    view, record = left
    try:
        end_container(_path(view), record)
    except StoreError as error:
        return StuckContainer(view=view, error=error)
    return None


def _path(view: RunView) -> str:
    return attempt_path(view.run_dir, view.attempts - 1)
