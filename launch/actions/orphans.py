"""Ending containers whose supervisors are gone. Commands that start runs do this; status never does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from launch.errors import BackendError, StoreError
from launch.store import processes
from launch.store.attempts import attempt_path, find_attempt
from launch.store.liveness import is_here
from launch.store.view import RunView
from launch.supervise.container_session import end_container

# Each container has its own time for a checkpoint: one after the other, those of a machine with eight GPUs would take
# minutes.
_AT_ONCE = 16


class StuckContainer(NamedTuple):
    """A run whose container may still be at work, and why it could not be ended."""

    view: RunView
    error: StoreError


def end_orphans(views: Iterable[RunView]) -> list[StuckContainer]:
    """End the containers of runs that no supervisor watches, each with time to write a checkpoint.

    Returns:
        Those that could not be ended, for example because their engine does not answer.
    """
    left = list(filter(_is_unwatched, views))
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


def _is_unwatched(view: RunView) -> bool:
    """Return whether an engine here may hold the container of a run that has no supervisor."""
    record = find_attempt(_path(view)) if view.attempts else None
    if record is None or record.image is None or record.has_ended or not is_here(record):
        return False
    return not processes.is_alive(record.pid, record.pid_start)


def _end(view: RunView) -> StuckContainer | None:
    try:
        end_container(_path(view), find_attempt(_path(view)))
    except StoreError as error:
        return StuckContainer(view=view, error=error)
    return None


def _path(view: RunView) -> str:
    return attempt_path(view.run_dir, view.attempts - 1)
