"""Measures containers: the time of an attempt that does nothing, by runtime, and of a build after a changed file.

    python -m benchmarks.containers [--image IMAGE] [--runtimes bare,docker,...] [--rebuild cpu] [--repeats 7] [--json]

An attempt is complete: the supervisor starts, claims the attempt, starts the command, waits and writes the record.
`overhead_s` of a runtime is its median minus the median of `bare`. The runtimes alternate, so that the machine's load
affects all of them equally. The first attempt of each runtime is not counted. A runtime that is not installed, or that
does not have the image, is left out; the output says why. `--runtimes ''` leaves out all runtimes.

`rebuild_s` lists the wall-clock times of `launch image build cpu --base IMAGE` in a clone of this repository. Before
each build one file of s5 is changed. The first build is not counted, since it may install the packages. `--rebuild ''`
leaves the builds out.

If LAUNCH_TEST_DOCKER and similar variables are not set, the engines that DOCKER_HOST and PATH name are measured.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import run
from launch.actions.container_plan import ContainerOptions
from launch.backends.local.start import build_request, send_request
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.store.store import Store
from launch.supervise.arguments import SupervisorArgs
from launch.supervise.outcome import Outcome
from tests.engines.podman import Reaper
from tests.launch.command_sweep import code_under, command_runs, submit_runs, sweep_of

COMMAND = ("true",)
_ROOT = Path(__file__).resolve().parents[1]
RUNTIMES = "bare,docker,podman,apptainer,charliecloud"


def orders(folder: Path, runtime: str, image: str, count: int) -> list[SupervisorArgs]:
    """Submit runs to a runtime, and return the arguments of their supervisors."""
    store, composed = Store(folder / runtime / "runs"), command_runs([COMMAND] * count)
    options = ContainerOptions() if runtime == "bare" else ContainerOptions(runtime=runtime, image=image)
    source = code_under(folder)
    submission = submit_runs(sweep_of(composed), composed, store, Profile(name="local"), options=options, source=source)
    return [SupervisorArgs(run_dir=view.run_dir, generation=1) for view in submission.views]


def attempt(order: SupervisorArgs) -> float:
    """Execute one attempt, and return how many seconds it takes."""
    began = time.perf_counter()
    code, said = send_request(build_request(order, os.environ, os.getcwd())).close()
    took = time.perf_counter() - began
    if code != Outcome.DONE:
        log = Path(order.run_dir, "attempts/0/log.txt")
        raise SystemExit(f"{order.run_dir}: {said} {log.read_text() if log.exists() else ''}")
    return took


def rebuilds(folder: Path, name: str, base: str, repeats: int) -> list[float] | str:
    """Return the seconds of each build after a changed source file; if a build fails, the reason as text."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", _ROOT, clone], check=True)
    own = {"PYTHONPATH": str(clone), "PYTHONSAFEPATH": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    words = [sys.executable, "-m", "launch.cli", "image", "build", name, f"--base={base}"]
    took: list[float] = []
    for turn in range(repeats + 1):
        (clone / "s5/touched.py").write_text(f'"""{turn}"""\n')
        began = time.perf_counter()
        done = subprocess.run(words, env={**os.environ, **own}, cwd=clone, capture_output=True, text=True, check=False)
        took.append(round(time.perf_counter() - began, 3))
        if done.returncode:
            return f"left out: {done.stderr[-500:].strip()}"
        if turn == 0:
            os.sync()  # the next builds must not wait until the data of the clone and the first build are on disk
    return took[1:]


def measure(image: str, runtimes: str, rebuild: str, repeats: int) -> dict[str, Any]:
    """Return the seconds of the builds and, for each runtime, the median of an attempt and its overhead over `bare`."""
    figures: dict[str, Any] = {"image": image, "repeats": repeats}
    if rebuild:
        with tempfile.TemporaryDirectory() as name:
            figures["rebuild_s"] = rebuilds(Path(name), rebuild, image, repeats)
    with tempfile.TemporaryDirectory() as name, Reaper():
        waiting: dict[str, list[SupervisorArgs]] = {}
        for runtime in filter(None, runtimes.split(",")):
            try:
                waiting[runtime] = orders(Path(name), runtime, image, repeats + 1)
            except LaunchError as error:
                figures[runtime] = f"left out: {error.message}"
        took: dict[str, list[float]] = {runtime: [] for runtime in waiting}
        for turn in range(repeats + 1):
            for runtime, left in waiting.items():
                took[runtime].append(attempt(left[turn]))
    medians = {runtime: statistics.median(times[1:]) for runtime, times in took.items()}
    for runtime, median in medians.items():
        figures[runtime] = {"attempt_s": round(median, 3), "worst_s": round(max(took[runtime][1:]), 3)}
        if runtime != "bare" and "bare" in medians:
            figures[runtime]["overhead_s"] = round(median - medians["bare"], 3)
    return figures


if __name__ == "__main__":
    run(
        "benchmarks.containers",
        __doc__,
        measure,
        {"image": "localhost/base:bookworm", "runtimes": RUNTIMES, "rebuild": "cpu", "repeats": 7},
    )
