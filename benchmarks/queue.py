"""Measures how well the local queue uses its slots, with 64 short runs on 4 slots.

    python -m benchmarks.queue [--runs 64] [--slots 4] [--seconds 2] [--json]

The slots are GPUs that a fake `nvidia-smi` lists, and the runs only sleep. So the result depends on the queue, not on
the machine. Utilisation is the time in which runs slept, divided by the number of slots times the sweep's duration.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import run
from launch.backends.local.backend import LocalBackend
from launch.profiles.profile import Profile
from launch.specs.resources import Resources
from launch.store.state import State
from launch.store.store import Store
from launch.sweepfile.sweep import Sweep
from tests.launch.command_sweep import code_under, command_runs, submit_runs

SLEEP = """
import json, os, sys, time
begin = time.monotonic()
time.sleep(float(sys.argv[1]))
line = json.dumps([os.environ["CUDA_VISIBLE_DEVICES"], begin, time.monotonic()])
os.write(os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT), (line + "\\n").encode())
"""


def fake_gpus(folder: Path, count: int) -> None:
    """Put an `nvidia-smi` that lists `count` GPUs first on the PATH."""
    lines = "\n".join(f"GPU {n}: Fake (UUID: GPU-{n})" for n in range(count))
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
    (folder / "nvidia-smi").chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)


def measure(runs: int, slots: int, seconds: float) -> dict[str, Any]:
    """Run the queue once, and return the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fake_gpus(folder, slots)
        os.environ["LAUNCH_SLOTS"] = str(folder / "slots")
        command = (sys.executable, "-S", "-c", SLEEP, str(seconds), str(folder / "journal"))
        composed = command_runs([command] * runs, resources=Resources(gpus_per_node=1))
        sweep = Sweep(name="queue", file=None, runs=tuple(run.spec for run in composed))
        store, profile = Store(folder / "runs"), Profile(name="local")
        submission = submit_runs(sweep, composed, store, profile, source=code_under(folder))
        began = time.monotonic()
        LocalBackend(profile).run(submission.state, submission.generation, None)
        wall_s = time.monotonic() - began
        intervals = [json.loads(line) for line in (folder / "journal").read_text().splitlines()]
        views = store.sweep("queue").views()
    busy_s = sum(end - begin for _, begin, end in intervals)
    return {
        "runs": runs,
        "slots": slots,
        "run_s": seconds,
        "succeeded": sum(view.state is State.SUCCEEDED for view in views),
        "wall_s": round(wall_s, 3),
        "ideal_s": round(runs / slots * seconds, 3),
        "utilisation": round(busy_s / (slots * wall_s), 4),
        "between_runs_s": round((slots * wall_s - busy_s) / runs, 4),
        "most_at_once_on_a_slot": max(most_at_once([i for i in intervals if i[0] == str(n)]) for n in range(slots)),
    }


def most_at_once(intervals: list[list[Any]]) -> int:
    """Return the largest number of intervals that overlap."""
    events = sorted([(begin, 1) for _, begin, _ in intervals] + [(end, -1) for _, _, end in intervals])
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


if __name__ == "__main__":
    run("benchmarks.queue", __doc__, measure, {"runs": 64, "slots": 4, "seconds": 2.0})
