"""Runs that lie in the store and are listed in its manifest: ready to be started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from launch.store.state import State

if TYPE_CHECKING:
    from launch.profiles.profile import Profile
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView


@final
@dataclass(frozen=True, kw_only=True)
class Submission:
    """Runs that are ready to be started.

    Attributes:
        sweep: Name of the sweep.
        generation: The manifest generation that lists them.
        profile: Where they execute.
        state: What is stored of the sweep.
        views: The runs as they stood before anything was started; none if there is nothing to do.
        new: The runs whose directories this submission made.
        warnings: What the user should know, one line each.
    """

    sweep: str
    generation: int
    profile: Profile
    state: SweepState
    views: tuple[RunView, ...]
    new: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def left_alone(self) -> tuple[RunView, ...]:
        """Failed and cancelled runs, which only `launch retry` starts again."""
        return tuple(view for view in self.views if view.state in (State.FAILED, State.CANCELLED))
