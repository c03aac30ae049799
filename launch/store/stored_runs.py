"""Find the stored run of a configuration and seed, whatever the run's directory is called.

The name of a run follows the sweep file, and an edit may change it. The identity of a run is its hash, and the seed is
a part of it: the digits at the end of the name are the first of the hash, and `run.json` has the whole hash.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, final

from launch.errors import StoreError
from launch.store.files import store_errors
from launch.store.record_json import read_record
from launch.store.records import RunRecord
from launch.store.state import State
from launch.store.view import RunView
from s5.run_dir.result import CONFIG, RUN

_ENDING = re.compile(r"-s(\d+)-([0-9a-f]{8})")
# If several directories have one identity, a run that has not ended is better than one that ended badly.
_ALIVE = (State.RUNNING, State.PENDING, State.PREEMPTED, State.LOST)


class Ending(NamedTuple):
    """The end of a run id, `-sSEED-DIGITS`: equal for runs of one identity, and almost never for others."""

    seed: str
    digits: str


def ending_of(run_id: str) -> Ending | None:
    """Return the end of a run id; None for a name that no run can have."""
    found = _ENDING.fullmatch(run_id, max(0, run_id.rfind("-", 0, run_id.rfind("-"))))
    return Ending(*found.groups()) if found else None


def by_ending(run_ids: Iterable[str]) -> dict[Ending, list[str]]:
    """Group run ids by their ends; other names are left out."""
    groups: dict[Ending, list[str]] = {}
    for run_id in run_ids:
        if (ending := ending_of(run_id)) is not None:
            groups.setdefault(ending, []).append(run_id)
    return groups


@final
class StoredRuns:
    """The run directories of a sweep, by identity.

    Args:
        folder: The sweep's folder, `runs/<sweep>`.

    Raises:
        StoreError: If the folder cannot be read.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        with store_errors(f"read {folder}"):
            try:
                names = os.listdir(folder)
            except FileNotFoundError:
                names = []
        self._by_ending = by_ending(names)

    def find(self, record: RunRecord) -> list[str]:
        """Return the ids of the stored runs with the identity of `record`.

        Only directories with another name than `record.run_id` are read. A directory whose `run.json` is damaged counts
        if the digits and the seed are equal: it would be repaired.
        """
        return [
            name
            for name in self._candidates(record)
            if name == record.run_id or self._is_equal(name, record.science_hash, damaged=True)
        ]

    def find_equal(self, record: RunRecord) -> list[str]:
        """Return the ids of the stored runs whose `run.json` has the identity of `record`."""
        return [name for name in self._candidates(record) if self._is_equal(name, record.science_hash, damaged=False)]

    def _candidates(self, record: RunRecord) -> Sequence[str]:
        ending = ending_of(record.run_id)
        return self._by_ending.get(ending, ()) if ending else ()

    def _is_equal(self, run_id: str, science_hash: str, *, damaged: bool) -> bool:
        """Return whether a directory has a run with this hash; `damaged` if its `run.json` cannot be read."""
        run_dir = os.path.join(self._folder, run_id)
        file = os.path.join(run_dir, RUN)
        if not os.path.exists(file):
            return damaged and os.path.exists(os.path.join(run_dir, CONFIG))
        try:
            return read_record(RunRecord, file).science_hash == science_hash
        except StoreError:
            return damaged


def choose_view(views: Collection[RunView]) -> RunView:
    """Return the run that counts if several directories have one identity.

    Older versions executed a run again if an edit of the sweep file changed its name. The newest success counts;
    without a success a run that has not ended, then the one that was submitted last.
    """
    return max(
        views,
        key=lambda view: (
            view.state is State.SUCCEEDED,
            view.ended or 0.0 if view.state is State.SUCCEEDED else 0.0,
            view.state in _ALIVE,
            view.generation,
        ),
    )
