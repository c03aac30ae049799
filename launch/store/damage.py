"""Find stored sweeps whose manifest is missing or cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from launch.store.manifest import generation_numbers
from s5.run_dir.result import RUN

if TYPE_CHECKING:
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState

REPAIR_HINT = "type the sweep's command again: it finds what has run, and runs nothing twice"


def sweeps_without_manifest(store: Store) -> list[str]:
    """Return the names of the folders that contain runs but no manifest, for example because it was deleted."""
    known = set(store.sweeps())
    try:
        with os.scandir(store.root) as entries:
            names = sorted(e.name for e in entries if e.name[0] not in "._" and e.name not in known and e.is_dir())
    except OSError:
        return []
    return [name for name in names if _stored_runs(store.root / name)]


def manifest_damage(state: SweepState) -> tuple[str, ...]:
    """Return the problems of a sweep's manifest, one line each; none if a newer generation lists all runs again."""
    manifest = state.manifest
    if not manifest.problems:
        return ()
    repaired = manifest.newest == max(generation_numbers(state.folder), default=0)
    return () if repaired and _stored_runs(Path(state.folder)) <= manifest.listed.keys() else manifest.problems


def _stored_runs(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {e.name for e in entries if e.name[0] != "." and os.path.exists(f"{e.path}/{RUN}")}
    except OSError:
        return set()
