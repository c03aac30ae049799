"""The view of a run: computed from its files, never stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from launch.specs.resources import Resources
from launch.store.state import Reason, State


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run as `launch status` shows it.

    Attributes:
        sweep: Name of the sweep.
        run_id: Which run.
        experiment: Its recipe.
        settings: The settings that distinguish it inside its sweep.
        seed: The seed.
        state: Where it stands.
        attempts: How many executions it has had.
        generation: The newest manifest generation that lists it.
        reason: Why the last attempt ended; None if it has not.
        message: One line for the user: how that attempt ended, what it waits for, or a file that cannot be read.
        host: Where the last attempt ran.
        pid: The last attempt's supervisor.
        started: Start of the last attempt, seconds since the epoch.
        ended: Its end.
        step: Steps done, for a run that is running.
        steps: Steps in all.
        run_dir: The run directory.
        resources: The resources it asks for.
        waits: Tokens of runs that come before it and have not all succeeded.
    """

    sweep: str
    run_id: str
    experiment: str
    settings: dict[str, Any]
    seed: int
    state: State
    attempts: int
    generation: int
    reason: Reason | None
    message: str | None
    host: str | None
    pid: int | None
    started: float | None
    ended: float | None
    step: int | None
    steps: int | None
    run_dir: str
    resources: Resources
    waits: tuple[str, ...] = ()
