"""Sweeps whose runs are commands; they are really submitted, but no config is composed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch.actions.container_plan import ContainerOptions
from launch.actions.plan import plan_runs
from launch.actions.submit import Submission, submit
from launch.compose.run import Run
from launch.profiles.profile import Profile
from launch.specs.resources import Resources
from launch.store.records import RunRecord
from launch.store.store import Store
from launch.sweepfile.runs import RunSpec
from launch.sweepfile.sweep import Sweep

LOCAL = Profile(name="local")


def python(code: str) -> tuple[str, ...]:
    """Return the command that executes a piece of Python and starts as quickly as possible."""
    return (sys.executable, "-S", "-c", code)


def command_runs(
    commands: Sequence[Sequence[str] | None],
    *,
    resources: Resources | None = None,
    config: dict[str, Any] | None = None,
) -> list[Run]:
    """Return one run for each command, with its place in the list as the seed."""
    resources = resources or Resources()
    runs: list[Run] = []
    for seed, words in enumerate(commands):
        command = None if words is None else tuple(words)
        spec = RunSpec(
            experiment="test/command", overrides=(), settings={}, seed=seed, resources=resources, command=command
        )
        record = RunRecord(
            run_id=f"command-s{seed}-{seed:08x}",
            experiment="test/command",
            overrides=(),
            settings={},
            seed=seed,
            science_version=1,
            science_hash=f"{seed:08x}" * 8,
            command=command,
        )
        digits = {"name": "digits", "root": None, "cache": None}
        train, optim = {"batch_size": 1, "epochs": 1}, {"warmup_epochs": 0.0}
        own = config or {"seed": seed, "data": digits, "train": train, "optim": optim, "wandb": {"mode": "disabled"}}
        runs.append(Run(record=record, config=own, spec=spec))
    return runs


def sweep_of(runs: Sequence[Run], **settings: Any) -> Sweep:
    """Return a sweep of runs."""
    return Sweep(name="work", file=None, runs=tuple(run.spec for run in runs), **settings)


def submit_runs(
    sweep: Sweep,
    runs: Sequence[Run],
    store: Store,
    profile: Profile,
    *,
    source: Path,
    sweep_runs: Sequence[Run] = (),
    options: ContainerOptions | None = None,
) -> Submission:
    """Plan composed runs and submit them."""
    plan = plan_runs(sweep, runs, store, profile, sweep_runs=sweep_runs, options=options)
    return submit(plan, source=source)


def submitted(
    store: Store, commands: Sequence[Sequence[str] | None], *, resources: Resources | None = None, **settings: Any
) -> Submission:
    """Submit one run for each command."""
    runs = command_runs(commands, resources=resources)
    return submit_runs(sweep_of(runs, **settings), runs, store, LOCAL, source=code_under(store.root.parent))


def code_under(folder: Path) -> Path:
    """Return a folder with almost no code, which is copied quickly."""
    source = folder / "code"
    (source / "s5").mkdir(parents=True, exist_ok=True)
    (source / "s5" / "__init__.py").touch()
    return source
