"""A folder with a profile and a sweep of payloads, and the commands that a user types in it."""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from launch.backends.slurm.scheduler_view import read_queue
from launch.cli import main
from launch.store.state import State
from launch.store.store import Store
from launch.store.view import RunView
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm

# A run that leaves a result, or fails, or works until it is told to go on or to stop; each start is a line of `starts`.
PAYLOAD = """
import json, os, signal, sys, time
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
control, place = sys.argv[1], os.environ["LAUNCH_ATTEMPT_DIR"]
with open(os.path.join(control, "starts"), "a") as starts:
    starts.write(place + "\\n")
print("begun", flush=True)
while os.path.exists(os.path.join(control, "hold")) and not stops:
    time.sleep(0.02)
if stops:
    os.makedirs(os.path.join(place, "checkpoints", os.path.basename(place)))
    sys.exit(75)
if os.path.exists(os.path.join(control, "hungry")):
    eaten = b"x" * int(open(os.path.join(control, "hungry")).read())
if os.path.exists(os.path.join(control, "greedy")) and int(os.environ["SLURM_MEM_PER_NODE"]) < 1000:
    raise MemoryError
if os.path.exists(os.path.join(control, "fail")):
    sys.exit("no luck today")
with open(os.path.join(place, "result.json"), "w") as file:
    json.dump({"version": 1, "metrics": {"test/accuracy": 0.9}}, file)
"""
_END_S = 120


class Project:
    """A folder in which a user types commands.

    Args:
        folder: The folder.
        slurm: The cluster.
        capsys: The fixture that captures the output of the commands.
    """

    def __init__(self, folder: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.slurm = slurm
        self._capsys = capsys
        self.said = ""
        (folder / "slurm").mkdir()
        (folder / "payload.py").write_text(PAYLOAD)
        self.profile()
        self.sweep()

    def profile(self, name: str = "test", **keys: Any) -> None:
        """Write a profile."""
        site = {"backend": "slurm", "partition": "main", "poll_interval_s": 0.2, **keys}
        (self.folder / "slurm" / f"{name}.yaml").write_text(json.dumps(site))

    def sweep(self, runs: int = 2, **keys: Any) -> None:
        """Write the sweep `x.yaml`."""
        command = [sys.executable, "-S", str(self.folder / "payload.py"), str(self.folder)]
        sweep = {"experiment": "digits/s5", "command": command, "seeds": runs, "retry": {"killed": 0}, **keys}
        (self.folder / "x.yaml").write_text(json.dumps(sweep))

    def hold(self, wanted: bool = True) -> None:
        """Let runs wait, or continue."""
        (self.folder / "hold").touch() if wanted else (self.folder / "hold").unlink()

    def launch(self, *words: str, code: int = 0) -> str:
        """Type a command; return its stdout. `said` keeps its stdout and its messages."""
        found = main(list(words))
        out, self.said = self._capsys.readouterr()
        assert found == code, self.said
        return out

    def views(self, sweep: str = "x") -> list[RunView]:
        """Return the views of the runs, as `launch status` sees them."""
        return Store(self.folder / "runs", read_queue).sweep(sweep).views()

    def states(self, sweep: str = "x") -> list[State]:
        """Return the states of the runs."""
        return [view.state for view in self.views(sweep)]

    def until(self, *states: State, sweep: str = "x") -> None:
        """Wait until every run is in one of some states."""
        assert wait_until(lambda: set(self.states(sweep)) <= set(states), _END_S, poll_s=0.1), self.views(sweep)

    def starts(self) -> list[str]:
        """Return the attempt folders in which payloads have started."""
        with suppress(FileNotFoundError):
            return (self.folder / "starts").read_text().splitlines()
        return []

    def until_started(self, count: int) -> None:
        """Wait until `count` payloads have started."""
        assert wait_until(lambda: len(self.starts()) >= count, _END_S, poll_s=0.05), self.slurm.jobs()

    def reasons(self, run_dir: str) -> list[str | None]:
        """Return why each attempt of a run ended."""
        numbers = sorted(int(file.parent.name) for file in Path(run_dir).glob("attempts/[0-9]*/attempt.json"))
        return [self.attempt(run_dir, number)["reason"] for number in numbers]

    def attempt(self, run_dir: str, number: int) -> dict[str, Any]:
        """Return the record of an attempt."""
        return json.loads(Path(run_dir, "attempts", str(number), "attempt.json").read_text())


def kill_job(job: str) -> None:
    """Kill every process of a job, like a power failure of its node: Slurm's processes first, which would report it."""
    environment, title = f"SLURM_JOB_ID={job}".encode(), f"slurmstepd: [{job}.".encode()
    for file, wanted in (("cmdline", title), ("environ", environment)):
        found = [entry for entry in filter(str.isdigit, os.listdir("/proc")) if _holds(f"/proc/{entry}/{file}", wanted)]
        assert found
        for entry in found:
            with suppress(ProcessLookupError):
                os.kill(int(entry), signal.SIGKILL)


def _holds(file: str, wanted: bytes) -> bool:
    with suppress(OSError):
        return any(word.startswith(wanted) for word in Path(file).read_bytes().split(b"\0"))
    return False
