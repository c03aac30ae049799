"""The same harness over a real Slurm: the command submits and returns, and Slurm's own daemons are killed too."""

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
from tests.kill.harness import STORE_POINTS, Harness

# What the launcher passes on its way to Slurm's queue, beside what it passes everywhere.
SUBMIT_POINTS = (
    *STORE_POINTS,
    "feed.held",
    "feed.reconciled",
    "array.scripted",
    "array.written",
    "sbatch.submitted",
    "array.numbered",
    "release.before",
    "release.after",
)
# Passed only where an earlier command was killed: first one of these, then the other.
AFTER_A_KILL = (("sbatch.submitted", "array.adopted"), ("supervise.claimed", "array.over"))
_RUN_S = 120  # the longest that a sweep may take once nothing is killed any more


@dataclass
class SlurmHarness(Harness):
    """A sweep on a cluster.

    slurm: The cluster; it has no other jobs.
    requeue: Whether an interrupted run goes on under the same job, which a cluster lets wait for some seconds.
    """

    slurm: Slurm = None  # type: ignore[assignment]
    requeue: bool = False

    profile = "kill"
    kinds: ClassVar = ("launcher", "terminal", "supervisor", "payload") * 4 + ("slurmctld", "slurmd")

    def __post_init__(self) -> None:
        (self.root / "profiles").mkdir(exist_ok=True)
        site = {"backend": "slurm", "partition": "main", "poll_interval_s": 0.5, "requeue": self.requeue}
        (self.root / "profiles" / "kill.yaml").write_text(json.dumps(site))
        os.environ.update(self.slurm.environment)

    def finish(self) -> None:
        """Type the command without any fault, and wait until the cluster has nothing more to do."""
        super().finish()
        wait_until(self.is_done, _RUN_S, poll_s=0.1)

    def fault(self, point: str) -> int:
        """Type the command with one fault point armed, for it and its jobs; wait until nothing of them runs.

        Returns:
            How the command ended.
        """
        command = self.type_command(point)
        command.communicate(timeout=120)
        wait_until(self.is_quiet, _RUN_S, poll_s=0.1)
        self.kills[point] += 1
        return command.returncode

    def is_quiet(self) -> bool:
        """Say whether nothing runs or is about to; what is held stays so."""
        return all("JobHeldUser" in line for line in self.slurm.jobs())

    def is_done(self) -> bool:
        """Say whether no job of the sweep is left."""
        return not self.slurm.jobs()

    def check(self) -> dict[str, int]:
        """Hold the files against the journal and the queue."""
        left = self.slurm.jobs()
        assert not left, f"orphans in the queue: {left}"
        return {**super().check(), "orphans": len(left)}

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
