"""Measures how long the launcher's commands take: the wall-clock time of real commands in new processes.

    python -m benchmarks.launcher [--json] [--repeats N]

expand_1000_s, expand_10000_s   `launch sweep FILE --plan-only`, which writes 1,000 (10,000) run directories, a manifest
                                and a snapshot of the code
help_s                          `launch --help`
status_1000_s, _rss_mb          `launch status NAME` of 1,000 runs, half of them finished, a tenth failed: seconds, and
                                peak memory
python_start_s                  `python -c pass`
overhead_per_run_s              a sweep of 20 runs of `python -c pass`, one after the other, with start-up and results
                                table: its time divided by 20, minus python_start_s

Each result is the median over the repeats.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.command import run

_LAUNCH = [sys.executable, "-c", "import sys; from launch.cli import main; sys.exit(main())"]
_PASS = [sys.executable, "-c", "pass"]
_RUNS_OF_OVERHEAD = 20


def wall(command: list[str], where: Path) -> tuple[float, float]:
    """Run a command that must succeed; return its wall-clock time in seconds and its peak memory in MB."""
    environment = {**os.environ, "LAUNCH_RUNS": str(where / "runs"), "LAUNCH_SLOTS": str(where / "slots")}
    with (where / "stdout").open("wb") as out, (where / "stderr").open("wb") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=where, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{(where / 'stderr').read_text()}")
    return took, usage.ru_maxrss / 1024


def expand(count: int, repeats: int, root: Path) -> float:
    """Return the median seconds of planning `count` runs in a new folder."""
    return statistics.median(_expand_once(count, root) for _ in range(repeats))


def _expand_once(count: int, root: Path) -> float:
    where = _fresh(root)
    took, _ = wall([*_LAUNCH, "sweep", write_sweep(where, count), "--plan-only"], where)
    made = len(list((where / "runs" / "big").glob("*/run.json")))
    if made != count:
        raise SystemExit(f"{made} run directories instead of {count}")
    return took


def _fresh(root: Path) -> Path:
    # Nothing is deleted before the last measurement: ext4 skips inodes for a minute after they were freed, and this
    # search would be measured as time of the launcher.
    return Path(tempfile.mkdtemp(dir=root))


def write_sweep(where: Path, count: int) -> str:
    """Write a sweep file of `count` runs of the digits recipe: three keys, ten seeds. Return the file's name."""
    grid = {
        "optim.lr": [round(0.0005 * step, 6) for step in range(1, count // 100 + 1)],
        "model.n_layers": [1, 2, 3, 4, 5],
        "model.bidirectional": [False, True],
    }
    sweep = {"name": "big", "experiment": "digits/s5", "grid": grid, "seeds": 10}
    (where / "big.yaml").write_text(json.dumps(sweep))
    return "big.yaml"


def status(repeats: int, root: Path) -> tuple[float, float]:
    """Return the median seconds and megabytes of `launch status` for 1,000 runs, most of them executed."""
    where = _fresh(root)
    wall([*_LAUNCH, "sweep", write_sweep(where, 1000), "--plan-only"], where)
    subprocess.run([sys.executable, "-m", "benchmarks.finished_runs", str(where / "runs" / "big")], check=True)
    taken = [wall([*_LAUNCH, "status", "big"], where) for _ in range(repeats)]
    lines = (where / "stdout").read_text().splitlines()
    if len(lines) != 1001 or not any("FAILED" in line for line in lines):
        raise SystemExit("status did not show the 1,000 runs")
    return statistics.median(seconds for seconds, _ in taken), statistics.median(mb for _, mb in taken)


def overhead(repeats: int, alone: float, root: Path) -> float:
    """Return the median seconds that a run takes in addition to its command."""
    return statistics.median(_time_empty_sweep(_fresh(root)) / _RUNS_OF_OVERHEAD - alone for _ in range(repeats))


def _time_empty_sweep(where: Path) -> float:
    sweep = {"experiment": "digits/s5", "command": _PASS, "seeds": _RUNS_OF_OVERHEAD, "max_parallel": 1}
    (where / "nothing.yaml").write_text(json.dumps(sweep))
    took, _ = wall([*_LAUNCH, "sweep", "nothing.yaml"], where)
    done = len(list((where / "runs" / "nothing").glob("*/result.json")))
    if done != _RUNS_OF_OVERHEAD:
        raise SystemExit(f"{done} runs succeeded instead of {_RUNS_OF_OVERHEAD}")
    return took


def measure(repeats: int) -> dict[str, float]:
    """Return all results."""
    with tempfile.TemporaryDirectory(prefix="launch-benchmark-") as folder:
        root = Path(folder)
        here = _fresh(root)
        wall([*_LAUNCH, "status"], here)  # the first process compiles the bytecode
        python_start = statistics.median(wall(_PASS, here)[0] for _ in range(4 * repeats))
        help_s = statistics.median(wall([*_LAUNCH, "--help"], here)[0] for _ in range(4 * repeats))
        seconds, megabytes = status(2 * repeats, root)
        return {
            "expand_1000_s": round(expand(1000, repeats, root), 4),
            "expand_10000_s": round(expand(10_000, max(1, repeats // 2), root), 4),
            "help_s": round(help_s, 4),
            "status_1000_s": round(seconds, 4),
            "status_1000_rss_mb": round(megabytes, 1),
            "python_start_s": round(python_start, 4),
            "overhead_per_run_s": round(overhead(repeats, python_start, root), 4),
        }


if __name__ == "__main__":
    run("benchmarks.launcher", __doc__, measure, {"repeats": 5})
