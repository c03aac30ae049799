"""Runs in containers, whose supervisors are started as the queue starts them."""

import json
import os
import re
import signal
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from launch.backends.local.start import build_request, send_request
from launch.cli import main
from launch.profiles.profile import Profile
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.store.attempts import read_attempt
from launch.store.records import AttemptRecord
from launch.store.state import Reason
from launch.store.store import Store
from launch.supervise.arguments import SupervisorArgs
from s5.run_dir.result import read_metrics
from tests.engines.daemon import wait_until
from tests.launch.command_sweep import code_under, command_runs, submit_runs, sweep_of
from tests.quickly import QUICKLY
from tests.slurm.trained import TINY, parameters

# Five checkpoints, so that there is time to stop it after the first.
_SHORT = {**TINY, "train.epochs": 10, "train.checkpoint_every_steps": 8}
PLUGIN = Path(__file__).parents[2] / "docs/examples/gru"
PACKAGES = sysconfig.get_path("purelib")


def profile_of(runtime: str, image: Image, folder: Path) -> Profile:
    """Return a profile under which the base image trains: with this machine's packages, and `python` by its name.

    Args:
        runtime: The name of the runtime.
        image: The base image.
        folder: A folder for the files that the profile needs.
    """
    python = folder / "python"
    python.write_text('#!/bin/sh\nexec /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    return Profile(
        name="local",
        runtime=runtime,
        image=image.file or image.reference,
        env={"PYTHONPATH": PACKAGES},
        mounts=(
            Mount(source=PACKAGES, target=PACKAGES),
            Mount(source=str(python), target="/usr/local/bin/python"),
        ),
    )


class Contained:
    """One run of a command in a container."""

    def __init__(self, folder: Path, profile: Profile, command: Sequence[str]) -> None:
        self.store = Store(folder / "runs")
        runs = command_runs([command])
        submission = submit_runs(sweep_of(runs), runs, self.store, profile, source=code_under(folder))
        self.run_dir = Path(submission.views[0].run_dir)
        self.order = SupervisorArgs(run_dir=str(self.run_dir), generation=1)

    def start(self):
        """Start a supervisor."""
        return send_request(build_request(self.order, os.environ, os.getcwd()))

    def attempt(self, number: int = 0) -> AttemptRecord:
        return read_attempt(str(self.path(number)))

    def path(self, number: int = 0) -> Path:
        return self.run_dir / "attempts" / str(number)

    def log(self, number: int = 0) -> str:
        file = self.path(number) / "log.txt"
        return file.read_text() if file.exists() else ""


@dataclass(frozen=True)
class Trained:
    """The results of a training.

    reasons: Why each of its attempts ended.
    metrics: The lines of metrics of the run, over all its attempts.
    scores: The scores in its result.
    parameters: The parameters in its last checkpoint.
    files: The names of its files, with every number replaced by the same text.
    """

    reasons: list[Reason | None]
    metrics: list[dict[str, Any]]
    scores: dict[str, float]
    parameters: dict[str, bytes]
    files: set[str]


def train(folder: Path, profile: Profile, *, interrupt: bool) -> Trained:
    """Train the quickstart's recipe, cut short, by `launch sweep`.

    Args:
        folder: An empty folder.
        profile: The profile under which it executes.
        interrupt: Whether to stop it at its first checkpoint, like a preemption, and to resume it.
    """
    settings = {**_SHORT, "data.cache": str(folder.parent / "cache")}
    # The run does not use the plug-in, but it cannot start without it.
    sweep = {"experiment": "digits/s5", "base": settings, "seeds": 1, "plugins": [str(PLUGIN)]}
    (folder / "x.yaml").write_text(json.dumps(sweep))
    (folder / "slurm").mkdir()
    mounts = [f"{mount.source}:{mount.target}" for mount in profile.mounts]
    variables = {**profile.env, "XLA_FLAGS": QUICKLY}  # it is executed once
    said = {"runtime": profile.runtime, "image": profile.image, "env": variables, "mounts": mounts}
    (folder / "slurm/here.yaml").write_text(json.dumps(said))
    interrupter = Thread(target=_interrupt, args=(folder,), daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LAUNCH_SLOTS", str(folder / "slots"))
        if interrupt:
            interrupter.start()
        assert main(["sweep", "x.yaml", "--on", "here", "--runs", str(folder / "runs")]) == 0
    if interrupt:
        interrupter.join()
    (run_dir,) = (path.parent for path in (folder / "runs/x").glob("*/run.json"))
    names = (str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file())
    return Trained(
        reasons=[read_attempt(str(path)).reason for path in sorted((run_dir / "attempts").iterdir())],
        metrics=read_metrics(run_dir),
        scores=json.loads((run_dir / "result.json").read_text())["metrics"],
        parameters=parameters(run_dir),
        # Below `state` Orbax names its data at random.
        files={re.sub(r"\d+", "N", name) for name in names if "/state/" not in name},
    )


def _interrupt(folder: Path) -> None:
    """Let the supervisor of a run's first attempt stop the run as soon as it has a checkpoint."""
    found = (folder / "runs/x").glob
    if wait_until(lambda: list(found("*/attempts/0/checkpoints/*/checkpoint.json")), 120):
        (attempt,) = found("*/attempts/0")
        os.kill(read_attempt(str(attempt)).pid, signal.SIGTERM)
