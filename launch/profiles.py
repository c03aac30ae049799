"""Where and how runs execute: the profile of a machine or a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One machine or cluster.

    Attributes:
        name: Its name.
        backend: Who schedules: `local`.
        runtime: What wraps the command: `bare`.
        slots: Runs at once on this machine; None for as many as its cores or GPUs allow.
        slots_per_gpu: Runs that share one GPU.
        runs_dir: Where run directories lie; None for `$LAUNCH_RUNS`, else `./runs`.
        env: Variables set for every run; no secrets.
        setup: Shell lines before every run.
    """

    name: str
    backend: str = "local"
    runtime: str = "bare"
    slots: int | None = None
    slots_per_gpu: int = 1
    runs_dir: str | None = None
    env: dict[str, str] = field(default_factory=dict[str, str])
    setup: tuple[str, ...] = ()


def load_profile(name: str = "local") -> Profile:
    """Return the profile `name`: built in, or `slurm/NAME.yaml`, or `~/.config/launch/NAME.yaml`.

    Raises:
        LaunchError: Where there is none, or it says something that cannot be done.
    """
    raise NotImplementedError
