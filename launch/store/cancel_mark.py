"""The mark by which a user cancels a run: no attempt begins while it stands."""

from __future__ import annotations

import json
import os

from launch.store.files import read_bytes, replace_file

CANCELLED = "cancelled.json"


def write_cancelled(run_dir: str, generation: int) -> None:
    """Say that the user wants no more attempts of a run for this generation and those before.

    Raises:
        StoreError: Where it cannot be written.
    """
    replace_file(os.path.join(run_dir, CANCELLED), json.dumps({"version": 1, "generation": generation}).encode())


def cancelled_generation(run_dir: str) -> int | None:
    """Return the generation that the user cancelled; None where there is no such mark.

    A mark that cannot be read still is one: it counts for every generation.
    """
    try:
        document = json.loads(read_bytes(os.path.join(run_dir, CANCELLED)))
        return int(document["generation"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return 1 << 30
