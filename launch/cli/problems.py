"""Warn the user of damaged files in the stored runs, and of a scheduler that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console
from launch.store.damage import REPAIR_HINT, manifest_damage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from launch.results.gather import Results
    from launch.store.sweep_state import SweepState


def warn_of_damage(states: Iterable[SweepState]) -> bool:
    """Warn of damage in the sweeps' manifests; return whether there is any."""
    problems = [problem for state in states for problem in manifest_damage(state)]
    for problem in problems:
        console.warn(problem)
    if problems:
        console.hint(REPAIR_HINT)
    return bool(problems)


def warn_of_silent_scheduler(states: Iterable[SweepState]) -> None:
    """Warn that the states of the sweeps may be out of date if their scheduler does not answer."""
    for error in dict.fromkeys(state.scheduler_error for state in states):
        if error is not None:
            console.warn(f"{error}; the states are those of the run directories and of Slurm's last answer")


def warn_of_unreadable(results: Results) -> None:
    """Warn of the runs whose result cannot be read; note what else the reader of a table must know."""
    for problem in results.unreadable.values():
        console.warn(console.printable(problem))
    if results.unreadable:
        console.hint("move the folder of a damaged run away and type the sweep's command again: it runs that run again")
    for note in results.notes:
        console.note(note)
