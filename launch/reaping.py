"""Ending what an engine still holds of attempts whose supervisors are gone. Status never does this; who feeds does."""

from __future__ import annotations

from collections.abc import Iterable

from launch.disk import processes
from launch.disk.attempts import attempt_path, is_here, read_plain
from launch.errors import StoreError
from launch.records import RunView
from launch.supervise.enclosure import end_container


def reap(views: Iterable[RunView]) -> list[RunView]:
    """End the containers that nobody watches over, in good order: each has the time to write a checkpoint.

    Args:
        views: The runs to look at.

    Returns:
        Those of which something may still be running: their engine does not answer.
    """
    left: list[RunView] = []
    for view in views:
        path = attempt_path(view.run_dir, view.attempts - 1)
        record = read_plain(path) if view.attempts else {}
        if record.get("image") is None or record.get("ended") is not None or not is_here(record):
            continue
        watched = processes.is_alive(record["pid"], record.get("pid_start", 0))
        if watched:
            continue
        try:
            end_container(path, record)
        except StoreError:
            left.append(view)
    return left
