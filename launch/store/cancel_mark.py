"""The file that marks a run as cancelled, `RUN_DIR/cancelled.json`: no attempt begins while it exists."""

from __future__ import annotations

import json
import os
import time

from launch.store.files import read_bytes, replace_file
from s5.run_dir.json_file import parse_json

CANCELLED = "cancelled.json"

_EVERY_GENERATION = 1 << 30


def write_cancelled(run_dir: str, generation: int) -> None:
    """Mark a run as cancelled for a generation and all earlier generations; a later retry starts the run again.

    A mark that is there already stays as it is: its time is that of the first request.

    Raises:
        StoreError: If the mark cannot be written.
    """
    if cancelled_generation(run_dir) == generation:
        return
    replace_file(os.path.join(run_dir, CANCELLED), json.dumps({"version": 1, "generation": generation}).encode())


def cancelled_generation(run_dir: str) -> int | None:
    """Return the generation that the user cancelled; None if there is no mark.

    If the mark cannot be read, every generation counts as cancelled: a run that was cancelled must not start.
    """
    try:
        document = parse_json(read_bytes(os.path.join(run_dir, CANCELLED)))
        generation = document["generation"]
        return generation if type(generation) is int else _EVERY_GENERATION
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return _EVERY_GENERATION


def cancelled_since_s(run_dir: str) -> float:
    """Return how many seconds ago the user cancelled a run; 0 without a mark."""
    try:
        return max(0.0, time.time() - os.stat(os.path.join(run_dir, CANCELLED)).st_mtime)
    except OSError:
        return 0.0


def is_cancelled(run_dir: str, *, retried: int) -> bool:
    """Return whether a run is cancelled. `retried` is the last generation that asked to retry the run, or 0."""
    generation = cancelled_generation(run_dir)
    return generation is not None and generation >= retried
