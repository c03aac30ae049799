"""The view of a run: computed from its files, never stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from launch.specs.resources import Resources
from launch.store.state import Reason, State

# How a message begins that says why a run waits in a queue, if an earlier attempt of the run has ended.
QUEUED = "queued: "


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run as `launch status` shows it.

    Attributes:
        sweep: Name of the sweep.
        run_id: The id of the run.
        experiment: The recipe of the run.
        settings: The settings that distinguish it inside its sweep.
        seed: The seed.
        state: The state of the run.
        attempts: The number of its attempts.
        generation: The newest manifest generation that lists it.
        reason: Why the last attempt ended; None if it has not ended.
        message: One line for the user: how the last attempt ended, what the run waits for, or which file is damaged.
        host: The machine of the last attempt.
        pid: The pid of the last attempt's supervisor.
        started: When the last attempt started, seconds since the epoch.
        ended: When the last attempt ended, seconds since the epoch.
        step: The number of steps done. `launch.status` and `SweepHandle` know it for every run that has told one, other
            functions only for a run that is running.
        steps: The number of steps in all; None if `step` is None.
        run_dir: The run directory.
        resources: The resources it asks for.
        waits: The labels that the run waits for: not all runs with these labels have succeeded.
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

    def __repr__(self) -> str:
        words = [repr(f"{self.sweep}/{self.run_id}"), str(self.state)]
        words += [f"step {self.step:,} of {self.steps:,}"] if self.step is not None and self.steps is not None else []
        words += [repr(self.message)] if self.message else []
        return f"RunView({', '.join(words)})"
