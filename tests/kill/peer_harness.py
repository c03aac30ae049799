"""The harness for other tools: it starts typical scripts of users, kills them, starts them again, and counts."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.kill.command import sweep_of
from tests.kill.harness import PAYLOAD, wait_until
from tests.kill.slurm_harness import SlurmHarness

_REPOSITORY = Path(__file__).parents[2]
_RUN_S = 300

# What both begin with. `LAUNCH_FAULT=submitted` kills the script as soon as sbatch has answered.
_HEAD = """
import functools, os, signal, sys
sys.path.insert(0, {repository!r})
from submitit.slurm import slurm
from tests.kill.peer_harness import execute

if os.environ.get("LAUNCH_FAULT") == "submitted":
    ask = slurm.SlurmExecutor._get_job_id_from_submission_command
    def die(*words):
        ask(*words)
        os.kill(os.getpid(), signal.SIGKILL)
    slurm.SlurmExecutor._get_job_id_from_submission_command = staticmethod(die)
"""
SCRIPTS = {
    "submitit_map_array": _HEAD
    + """
import submitit
executor = submitit.AutoExecutor(folder={root!r} + "/submitit", cluster="slurm")
executor.update_parameters(name={name!r}, slurm_partition="main", timeout_min=10, slurm_array_parallelism=100)
executor.map_array(functools.partial(execute, {root!r}, {steps!r}, {step_s!r}), range({runs}))
""",
    "hydra_submitit": _HEAD
    + """
import hydra
sys.argv[1:] = [
    "--multirun", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=main", "hydra.launcher.timeout_min=10",
    "hydra.launcher.name=" + {name!r}, "hydra.sweep.dir=" + {root!r} + "/multirun", "seed=range({runs})",
]

@hydra.main(version_base=None, config_path={root!r}, config_name="config")
def main(config):
    execute({root!r}, {steps!r}, {step_s!r}, config.seed)

main()
""",
}


def execute(root: str, steps: int, step_s: float, seed: int) -> None:
    """Do what a careful user's function does: skip runs with a result, else resume from the newest checkpoint."""
    run_dir = Path(root, "runs", sweep_of(Path(root)), f"command-s{seed}")
    attempts = run_dir / "attempts"
    attempts.mkdir(parents=True, exist_ok=True)
    if any(attempts.glob("*/result.json")):
        return
    number = 0
    while True:
        with suppress(FileExistsError):
            (attempts / str(number)).mkdir()
            break
        number += 1
    listening, held = os.pipe()
    own = {"LAUNCH_RUN_DIR": run_dir, "LAUNCH_ATTEMPT_DIR": attempts / str(number), "LAUNCH_LIFELINE_FD": listening}
    words = [sys.executable, "-S", PAYLOAD, Path(root, "journal.jsonl"), steps, step_s]
    environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
    environment.pop("LAUNCH_FAULT", None)
    subprocess.run(list(map(str, words)), env=environment, pass_fds=[listening], check=True)
    os.close(held)


@dataclass
class PeerHarness(SlurmHarness):
    """A sweep of another tool on a cluster.

    tool: One of `SCRIPTS`.
    python: An interpreter in which it is installed.
    orphans: Arrays that were in the queue when the command was started again, which does not know them.
    lost: Runs of an array in the queue that have no result after the array has ended.
    """

    tool: str = "submitit_map_array"
    python: str = sys.executable
    orphans: int = 0
    lost: int = 0

    supervisor: ClassVar = b"submitit.core._submit"

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "config.yaml").write_text("seed: 0\n")
        os.environ.update(self.slurm.environment)

    def type_command(self, fault: str | None = None) -> "subprocess.Popen[bytes]":
        """Start the user's script as a shell would."""
        script = self.root / "script.py"
        values = {"root": str(self.root), "name": sweep_of(self.root), "repository": str(_REPOSITORY)}
        text = SCRIPTS[self.tool].format(**values, runs=self.runs, steps=self.steps, step_s=self.step_s)
        script.write_text(text)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LAUNCH_")}
        environment |= {"LAUNCH_SLOTS": str(self.root / "slots"), "PYTHONPATH": str(_REPOSITORY)}
        if fault is not None:
            environment["LAUNCH_FAULT"] = fault
        return subprocess.Popen(
            [self.python, script],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def fault(self, point: str) -> int:
        """Kill the script as soon as sbatch has answered; count the runs that its array does not finish."""
        command = self.type_command(point)
        command.communicate(timeout=120)
        submitted = bool(self.jobs())
        self.rest()
        self.kills[point] += 1
        if submitted:
            self.lost += self.runs - len(self._finished())
        return command.returncode

    def finish(self) -> None:
        """Start the command without any fault, and wait until the queue is empty."""
        self.slurm.resume()
        self.orphans += len({line.split("_")[0] for line in self.jobs()})
        command = self.type_command()
        # The one returns with its jobs in the queue, the other when they have ended.
        wait_until(lambda: bool(self.jobs()) or command.poll() is not None, 60, poll_s=0.05)
        wait_until(self.is_done, _RUN_S, poll_s=0.2)
        for _ in range(3):
            if not self.is_done():
                self.slurm.resume()
                self.slurm.call("scontrol", "reconfigure")
                wait_until(self.is_done, 20, poll_s=0.2)
        with suppress(subprocess.TimeoutExpired):
            command.wait(10)
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)
        command.communicate()

    def jobs(self) -> list[str]:
        """Return the lines of squeue for this sweep."""
        return [line for line in self.slurm.jobs() if f" {sweep_of(self.root)} " in line]

    def check(self) -> dict[str, int]:
        """Compare the files with the journal."""
        lines = [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []
        done = Counter(line["run"] for line in lines if line["event"] == "done")
        twice = {run for run, count in done.items() if count > 1}
        twice |= {line["run"] for line in lines if line["event"] == "overlap"}
        without = self.runs - len(self._finished())
        return {
            "runs": self.runs,
            "published": self.runs - without,
            "lost": self.lost + without,
            "twice": len(twice),
            "orphans": self.orphans,
            "attempts": sum(line["event"] == "start" for line in lines),
        }

    def _finished(self) -> set[str]:
        return {file.parents[2].name for file in self.sweep.glob("*/attempts/*/result.json")}
