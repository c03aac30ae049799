"""The mark by which a user cancels a run: no attempt begins while it stands. `RUN_DIR/cancelled.json`."""

from __future__ import annotations

import json
import os

from launch.store.files import read_bytes, replace_file

CANCELLED = "cancelled.json"

_EVERY_GENERATION = 1 << 30


def write_cancelled(run_dir: str, generation: int) -> None:
    """Cancel a run for a generation and all earlier ones; a later retry starts it again.

    Raises:
        StoreError: If the mark cannot be written.
    """
    replace_file(os.path.join(run_dir, CANCELLED), json.dumps({"version": 1, "generation": generation}).encode())


def cancelled_generation(run_dir: str) -> int | None:
    """Return the generation that the user cancelled; None if there is no mark.

    A mark that cannot be read counts for every generation: a run that was cancelled must not start.
    """
    try:
        document = json.loads(read_bytes(os.path.join(run_dir, CANCELLED)))
        return int(document["generation"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return _EVERY_GENERATION


def is_cancelled(run_dir: str, *, retried: int) -> bool:
    """Return whether no attempt of a run may begin; `retried` is the last generation that asked to retry it, or 0."""
    generation = cancelled_generation(run_dir)
    return generation is not None and generation >= retried
