"""The harness with a real Slurm: the command submits and returns, and Slurm's daemons are also killed."""

import json
import os
import random
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.kill.command import sweep_of
from tests.kill.harness import Harness

# What the launcher passes on its way into the queue. Killed there it leaves nothing that runs, so one sweep takes all
# of them, one after the other.
SUBMIT_POINTS = (
    "plan.written",
    "plan.placed",
    "submit.planned",
    "freeze.before",
    "create.written",
    "freeze.after",
    "submit.frozen",
    "feed.held",
    "feed.reconciled",
    "array.scripted",
    "array.written",
)
# Killed at the first of these it leaves work for the next command, which is killed at the second while it mends.
MENDING_POINTS = (
    ("sbatch.submitted", "array.adopted"),
    ("array.numbered", "release.before"),
    ("release.before", "release.after"),
    ("create.linked", "release.after"),
    ("supervise.claimed", "array.over"),
)
# Killed here, a run has no result yet, and the next attempt is killed at the next point.
ATTEMPT_POINTS = (
    "claim.prepared",
    "claim.made",
    "supervise.claimed",
    "supervise.started",
    "payload.started",
    "payload.checkpoint",
)
# Killed here, its result is there: each takes a sweep of its own.
RESULT_POINTS = (
    "payload.result",
    "payload.done",
    "supervise.exited",
    "publish.synced",
    "publish.linked",
    "supervise.published",
    "replace.written",
    "supervise.recorded",
)
_RUN_S = 120  # the longest that a sweep may take once nothing is killed any more
_LOOK_S = 20


@dataclass
class SlurmHarness(Harness):
    """A sweep on a cluster.

    slurm: The cluster; it has no other jobs.
    requeue: Whether an interrupted run resumes under the same job, which a cluster delays for some seconds.
    """

    slurm: Slurm = None  # type: ignore[assignment]
    requeue: bool = False
    typed: int = 0

    profile = "kill"
    kinds: ClassVar = ("launcher", "terminal", "supervisor", "payload") * 4 + ("slurmctld", "slurmd")

    def __post_init__(self) -> None:
        (self.root / "profiles").mkdir(parents=True, exist_ok=True)
        site = {"backend": "slurm", "partition": "main", "poll_interval_s": 0.5, "requeue": self.requeue}
        (self.root / "profiles" / "kill.yaml").write_text(json.dumps(site))
        os.environ.update(self.slurm.environment)

    def finish(self) -> None:
        """Start the command without any fault, and wait until the cluster has nothing more to do.

        Slurm holds a job that a node could not start; the command is then started again. `typed` counts the starts.
        """
        self.slurm.resume()
        super().finish()
        self.typed = 1
        for _ in range(_RUN_S // _LOOK_S):
            self.slurm.resume()
            if wait_until(lambda: self.is_quiet() or self.is_done(), _LOOK_S, poll_s=0.1):
                if self.is_done() and (not self.first or self.is_complete()):
                    return
                super().finish()
                self.typed += 1
            else:
                # A slurmctld that was killed while it started a job believes that it runs, until it next asks the
                # nodes what they have: by itself after minutes.
                self.slurm.call("scontrol", "reconfigure")

    def fault(self, point: str) -> int:
        """Start the command with one fault point for it and its jobs, and wait until none of their processes runs.

        Returns:
            How the command ended.
        """
        command = self.type_command(point)
        command.communicate(timeout=120)
        self.rest()
        self.kills[point] += 1
        return command.returncode

    def rest(self) -> None:
        """Wait until no job of the sweep runs."""
        wait_until(self.is_quiet, _RUN_S, poll_s=0.1)

    def is_quiet(self) -> bool:
        """Return whether no job runs or is about to start; held jobs stay held."""
        return all(" PENDING " in line and "held" in line.lower() for line in self.jobs())

    def is_done(self) -> bool:
        """Return whether no job of the sweep is left."""
        return not self.jobs()

    def is_complete(self) -> bool:
        """Return whether every run has a result; Slurm removes jobs that wait for a job that it counts as failed."""
        return len(list(self.sweep.glob("*/result.json"))) == self.runs

    def jobs(self) -> list[str]:
        """Return the lines of squeue for this sweep."""
        name = f" {sweep_of(self.root)}."
        return [line for line in self.slurm.jobs() if name in line]

    def check(self) -> dict[str, int]:
        """Compare the files with the journal and the queue."""
        left = self.jobs()
        assert not left, f"orphans in the queue: {left}"
        return {**super().check(), "orphans": len(left), "typed": self.typed}

    def _kill_one(self, rng: random.Random, command: "subprocess.Popen[bytes]", most_s: float) -> None:
        state = rng.getstate()
        kind = rng.choice(self.kinds)
        if kind not in ("slurmctld", "slurmd", "terminal"):
            rng.setstate(state)
            super()._kill_one(rng, command, most_s)
            return
        with suppress(subprocess.TimeoutExpired):
            command.wait(rng.uniform(0, most_s))
        self.kills[kind] += 1
        if kind == "terminal":  # the launcher, and the client that it just called
            with suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGKILL)
        elif kind == "slurmctld":
            self.slurm.daemon("slurmctld").kill()
            self.slurm.start_controller()
        else:
            name = rng.choice(self.slurm.settings.node_names)
            self.slurm.daemon(name).kill()
            self.slurm.start_node(name)
