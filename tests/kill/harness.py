"""Starts the command, kills its processes, starts it again, and compares the result with what really happened."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines.daemon import wait_until
from tests.kill.command import sweep_of

__all__ = ["Harness", "wait_until"]

COMMAND = Path(__file__).with_name("command.py")
PAYLOAD = Path(__file__).with_name("payload.py")

# Every point at which a test may kill a process, by who passes it.
LAUNCHER_POINTS = (
    "plan.written",
    "plan.placed",
    "submit.planned",
    "freeze.before",
    "create.written",
    "create.linked",
    "freeze.after",
    "submit.frozen",
    "queue.held",
    "queue.started",
)
SUPERVISOR_POINTS = (
    "claim.prepared",
    "claim.made",
    "supervise.claimed",
    "supervise.started",
    "supervise.exited",
    "publish.synced",
    "publish.linked",
    "supervise.published",
    "replace.written",
    "supervise.recorded",
)
PAYLOAD_POINTS = ("payload.started", "payload.checkpoint", "payload.result", "payload.done")


@dataclass
class Harness:
    """One sweep whose processes are killed many times.

    root: The folder of all its files.
    runs: Number of runs.
    steps: Number of steps of each run.
    step_s: Seconds of a step.
    retries: How often a killed run is retried automatically.
    first: Number of runs that come before the others; 0 for no order.
    kills: Number of kills by kind of process.
    """

    root: Path
    runs: int = 4
    steps: int = 4
    step_s: float = 0.02
    retries: int = 1000
    first: int = 0
    kills: Counter[str] = field(default_factory=Counter)

    profile = "local"
    kinds = ("launcher", "supervisor", "payload")
    supervisor = b"launch.supervise"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def sweep(self) -> Path:
        return self.root / "runs" / sweep_of(self.root)

    def type_command(self, fault: str | None = None) -> "subprocess.Popen[bytes]":
        """Start the launcher as a shell would."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LAUNCH_")}
        environment["LAUNCH_SLOTS"] = str(self.root / "slots")
        if fault is not None:
            environment["LAUNCH_FAULT"] = fault
        words = (self.root, self.runs, self.steps, self.step_s, self.retries, self.profile, self.first)
        return subprocess.Popen(
            [sys.executable, COMMAND, *map(str, words)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finish(self) -> None:
        """Start the command without any fault, and wait until it has finished."""
        command = self.type_command()
        _, said = command.communicate(timeout=120)
        if command.returncode != 0:
            raise AssertionError(f"the command ended with {command.returncode}: {said.decode()}")

    def fault(self, point: str) -> int | None:
        """Let the launcher, its supervisors and payloads run with one fault point armed."""
        command = self.type_command(point)
        command.communicate(timeout=120)
        self.kills[point] += 1

    def kill_at_random(self, rng: random.Random, most_s: float) -> None:
        """Start the command, kill one to three of its processes at random times, and at last the command itself."""
        command = self.type_command()
        for _ in range(rng.randint(1, 3)):
            self._kill_one(rng, command, most_s)
        with suppress(subprocess.TimeoutExpired):
            command.wait(rng.uniform(0, most_s))
        if command.poll() is None:
            command.kill()
            self.kills["launcher"] += 1
        command.communicate()

    def _kill_one(self, rng: random.Random, command: "subprocess.Popen[bytes]", most_s: float) -> None:
        """Wait until a process of some kind exists, wait a moment more, and kill it."""
        kind = rng.choice(self.kinds)

        def pids() -> list[int]:
            if kind == "launcher":
                return [command.pid] if command.poll() is None else []
            return self._processes(self.supervisor if kind == "supervisor" else os.fsencode(PAYLOAD))

        wait_until(lambda: bool(pids()) or command.poll() is not None, 10)
        with suppress(subprocess.TimeoutExpired):
            command.wait(rng.uniform(0, most_s if kind == "launcher" else most_s / 8))
        if found := pids():
            with suppress(ProcessLookupError):
                os.kill(rng.choice(found), signal.SIGKILL)
                self.kills[kind] += 1

    def _processes(self, word: bytes) -> list[int]:
        """Return the processes of this harness, known by their slots folder, whose command line contains a word."""
        label = os.fsencode(f"LAUNCH_SLOTS={self.root / 'slots'}")
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                words = Path("/proc", entry, "cmdline").read_bytes()
                environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
                if word in words and label in environment:
                    found.append(int(entry))
        return found

    def left_processes(self) -> list[int]:
        """Return the started processes that still run."""
        return self._processes(b"")

    def check(self) -> dict[str, int]:
        """Compare the files with the journal: every run must have succeeded exactly once.

        Returns:
            The counts.
        """
        run_dirs = [path for path in self.sweep.iterdir() if (path / "run.json").is_file()]
        lines = [json.loads(line) for line in self.journal.read_text().splitlines()]
        done = Counter(line["run"] for line in lines if line["event"] == "done")
        starts = Counter((line["run"], line["attempt"]) for line in lines if line["event"] == "start")
        published = [path for path in run_dirs if (path / "result.json").is_file()]
        results = {path: list(path.glob("attempts/*/result.json")) for path in run_dirs}
        twice = [path.name for path, found in results.items() if len(found) > 1] + [r for r, n in done.items() if n > 1]
        lost = sorted({path.name for path in run_dirs} - {path.name for path in published})
        assert len(run_dirs) == self.runs, f"{len(run_dirs)} run directories, {self.runs} planned"
        assert not lost, f"lost: {lost}"
        assert not twice, f"executed to success twice: {twice}"
        assert all((path / "result.json").samefile(found[0]) for path, found in results.items())
        if self.first:
            names = sorted(path.name for path in run_dirs)
            begun = next(number for number, line in enumerate(lines) if line["run"] in names[self.first :])
            before = Counter(line["run"] for line in lines[:begun] if line["event"] == "start")
            # Their results are on the disk before; a payload that is killed with its result at hand notes no end.
            assert set(before) == set(names[: self.first]), "a run began before those that come first"
            assert not any(line["run"] in before for line in lines[begun:]), "one that comes first went on later"
        overlaps = [line for line in lines if line["event"] == "overlap"]
        assert not overlaps, f"two attempts of a run at once: {overlaps}"
        assert all(count == 1 for count in starts.values()), "an attempt was started twice"
        return {
            "runs": len(run_dirs),
            "published": len(published),
            "completions_journalled": sum(done.values()),
            "attempts": sum(len([p for p in (path / "attempts").iterdir() if p.name.isdigit()]) for path in run_dirs),
            "lost": len(lost),
            "twice": len(twice),
        }
