"""End containers whose supervisors have died: for `launch retry`, `cancel`, `rm` and `gc`, and for no other command.

The supervisor of the run's next attempt does it too (`launch.supervise.container_session`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from launch.errors import BackendError, StoreError
from launch.store import processes
from launch.store.attempts import attempt_path, find_attempt
from launch.store.liveness import is_here
from launch.store.view import RunView
from launch.supervise.container_session import end_container

# Containers are ended in parallel: each may take time to write a checkpoint, and one after the other, the containers of
# eight GPUs would take minutes.
_AT_ONCE = 16


class StuckContainer(NamedTuple):
    """A run whose container may still be running, and why the container could not be ended."""

    view: RunView
    error: StoreError


def end_orphans(views: Iterable[RunView]) -> list[StuckContainer]:
    """End the containers of runs whose supervisor has died, each with time to write a checkpoint.

    Returns:
        The containers that could not be ended, for example because their engine does not answer.
    """
    left = list(filter(_is_unwatched, views))
    if not left:
        return []
    from concurrent.futures import ThreadPoolExecutor  # most commands find nothing to end

    with ThreadPoolExecutor(min(_AT_ONCE, len(left))) as pool:
        return [stuck for stuck in pool.map(_end, left) if stuck is not None]


def refuse_stuck(containers: Sequence[StuckContainer]) -> None:
    """Raise if a container could not be ended.

    Raises:
        BackendError: With the error of the first container, and how many more there are.
    """
    if containers:
        first, others = containers[0].error, len(containers) - 1
        more = f"; {others} more {'run has' if others == 1 else 'runs have'} the same problem" if others else ""
        raise BackendError(first.message + more, hint=first.hint)


def _is_unwatched(view: RunView) -> bool:
    """Return whether an engine on this machine may run the container of a run whose supervisor has died."""
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
