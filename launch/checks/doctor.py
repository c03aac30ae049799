"""The checks of `launch doctor`: they find what this machine has, what it lacks, and a remedy. They change nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from launch.backends.local.gpus import describe_use
from launch.backends.local.slots import find_machine
from launch.backends.slurm.scheduler_view import read_queue
from launch.checks.check import Check, Level, fail, ok, warn
from launch.checks.runtimes import examine_runtimes
from launch.checks.slurm import examine_cluster
from launch.containers.programs import run_program
from launch.errors import LaunchError, StoreError
from launch.own_s5 import FOREIGN, HINT
from launch.profiles.profile import Profile
from launch.specs.choices import BackendName
from launch.store.files import check_writable
from launch.store.state import Reason, State
from launch.store.store import Store

_REPOSITORY = Path(__file__).resolve().parents[2]
_CUDA13_DRIVER = 580  # the first driver that CUDA 13 works with
_LOCK = _REPOSITORY / "docker" / "locks" / "cpu.txt"
_LEAST_PYTHON = (3, 11)
# The packages that the launcher itself imports, and those that a training process needs.
_LAUNCHER = ("docker", "hydra-core", "omegaconf", "pyyaml", "rich", "submitit")
_TRAINING = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_FREE_WARN = 10 << 30
_FREE_FAIL = 1 << 30
_ASK_S = 10  # seconds that another program may take to answer


def examine(runs: Path | None = None, profile: Profile | None = None) -> Iterator[Check]:
    """Check everything that a run needs.

    Args:
        runs: The folder of all run directories; None for the default folder.
        profile: The profile with which runs execute; None for this machine.

    Yields:
        The results, the most important first. A check that raises an error is a failed check.
    """
    on_cluster = profile is not None and profile.backend == BackendName.SLURM
    # Another machine's check must not wait for a cluster that does not answer.
    store = Store(runs, read_queue if on_cluster else None)
    here: dict[str, Callable[[], Iterator[Check]]] = {"cpu": check_cpu, "gpu": check_gpu, "slots": check_slots}
    if profile is not None and on_cluster:
        here = {"slurm": lambda: examine_cluster(profile, store.root)}
    looks = {
        "python": check_python,
        "packages": check_packages,
        **here,
        "runtimes": lambda: examine_runtimes(store.root, profile),
        "runs": lambda: check_runs(store.root),
        "data": check_data,
        "git": check_git,
        "sweeps": lambda: check_sweeps(store),
    }
    for name, look in looks.items():
        try:
            yield from look()
        except LaunchError as error:
            yield fail(name, error.message, error.hint)
        except OSError as error:
            yield fail(name, f"cannot be checked: {error}")


def check_python() -> Iterator[Check]:
    """Check that this Python is new enough."""
    version = platform.python_version()
    if sys.version_info >= _LEAST_PYTHON:
        yield ok("python", f"{version} ({sys.executable})")
    else:
        yield fail("python", f"{version} is too old", "make the environment with Python 3.11 or newer")


def check_packages(lock: Path = _LOCK) -> Iterator[Check]:
    """Check that the packages are installed, with the versions of the lock file if it exists."""
    for name, wanted in (("launcher", _LAUNCHER), ("training", _TRAINING)):
        missing = [package for package in wanted if _version(package) is None]
        if missing:
            advice = "`make env` installs them; without make: `pip install 's5-launch[cpu,data]'`"
            yield fail(name, f"missing: {', '.join(missing)}", advice)
        else:
            yield ok(name, ", ".join(f"{package} {_version(package)}" for package in wanted))
    others = sorted(set(metadata.packages_distributions().get("s5", [])) - {"s5-launch"})
    if others:
        yield fail("s5", f"{', '.join(others)} is installed here, and {FOREIGN}", HINT)
    if lock.is_file():
        yield _against_lock(lock)


def _against_lock(lock: Path) -> Check:
    # A lock for several Pythons lists a package once per marker; any of its versions is right.
    pinned: dict[str, list[str]] = {}
    for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
        pinned.setdefault(package, []).append(version)
    differ = [
        f"{package} {found} (lock: {' or '.join(versions)})"
        for package, versions in pinned.items()
        if (found := _version(package)) is not None and found not in versions
    ]
    if not differ:
        return ok("lock", f"every installed package has the version in {lock.name}")
    shown = ", ".join(differ[:4]) + (f" and {len(differ) - 4} more" if len(differ) > 4 else "")
    return warn("lock", shown, "results may differ from those of the lock; `make env` installs the lock's versions")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_cpu() -> Iterator[Check]:
    """Report the cores and the memory of this machine."""
    usable, total = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    cores = f"{total} cores" if usable == total else f"{usable} of {total} cores"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        cores += f", {found[1] if found else platform.machine()}"
    yield ok("cpu", f"{cores}, {memory / 2**30:.0f} GiB of memory")


def check_gpu() -> Iterator[Check]:
    """Report the GPUs and their driver, and check that JAX can use them."""
    if shutil.which("nvidia-smi") is None:
        yield ok("gpu", "none found (no nvidia-smi): runs use the CPU")
        return
    answer = _ask("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    if answer is None:
        yield warn("gpu", "nvidia-smi fails", "`nvidia-smi` says why; the driver may not be loaded")
        return
    gpus = [line for line in answer.splitlines() if line.strip()]
    for index, line in enumerate(gpus):
        yield ok(f"gpu {index}", line.strip())
    for index, use in sorted(describe_use().items()):
        yield warn(f"gpu {index} use", use, "a sweep passes over a GPU that other programs use, or waits for it")
    if gpus and not any(_version(f"jax-cuda{major}-plugin") for major in (12, 13)):
        cuda = "cuda13" if all(_driver(line) >= _CUDA13_DRIVER for line in gpus) else "cuda12"
        advice = (
            f"`make env GPU={cuda}` installs it; without make: `pip install 's5-launch[{cuda}]'`; or use a container"
        )
        yield warn("gpu jax", "JAX has no CUDA plugin here: runs use the CPU", advice)


def _driver(line: str) -> int:
    """Return the major version of the driver in a line of `nvidia-smi`; 0 if it cannot be read."""
    found = re.match(r"\d+", line.rpartition(",")[2].strip())
    return int(found[0]) if found else 0


def check_slots() -> Iterator[Check]:
    """Report the number of runs that this machine can execute at once."""
    machine = find_machine(gpus=True)
    what = f"{len(machine.gpus)} runs of one GPU" if machine.gpus else f"{len(machine.cores)} runs of one core"
    # Report all slots, not the free ones: a test of a slot's lock would disturb a run that takes it just then.
    yield ok("slots", f"{what} at once")


def check_runs(root: Path) -> Iterator[Check]:
    """Check that the folder of the runs can be written and has free space. The folder is not created."""
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    if not there.is_dir():
        yield fail("runs", f"{there} is not a folder", "--runs names another")
        return
    try:
        check_writable(str(root))
    except StoreError as error:
        yield fail("runs", f"{there} cannot be written", error.hint)
        return
    free = shutil.disk_usage(there).free
    what = f"{root}" if there == root.absolute() else f"{root} (not made yet)"
    level = Level.FAIL if free < _FREE_FAIL else Level.WARN if free < _FREE_WARN else Level.OK
    advice = None if level is Level.OK else "`launch gc` thins finished runs; --runs names another folder"
    yield Check(name="runs", level=level, message=f"{what}: writable, {free / 2**30:.0f} GiB free", advice=advice)


def check_data() -> Iterator[Check]:
    """Report which data sets are available and which are missing."""
    from s5.catalog import CATALOG, DataError, check_available

    here: list[str] = []
    for name in CATALOG:
        with suppress(DataError):
            check_available(name)
            here.append(name)
    missing = [name for name in CATALOG if name not in here]
    yield Check(name="data", level=Level.OK if here else Level.WARN, message=f"here: {', '.join(here) or 'none'}")
    if missing:
        advice = "`launch data prepare NAME` finds or makes one, or says what it needs"
        yield ok("other data", f"not here: {', '.join(missing)}", advice)


def check_git(code: Path = _REPOSITORY) -> Iterator[Check]:
    """Check that git is installed, and report the commit of the code."""
    version = _ask("git", "--version")
    if version is None:
        yield warn("git", "not found", "install git: without it, only the package folders are snapshotted")
        return
    commit = _ask("git", "-C", str(code), "rev-parse", "--short", "HEAD")
    if commit is None:
        yield ok("git", f"{version.strip()}; the code in {code} is not in a repository")
        return
    changed = len((_ask("git", "-C", str(code), "status", "--porcelain") or "").splitlines())
    state = f"{changed} uncommitted changes (snapshots hold them)" if changed else "clean"
    yield ok("git", f"{version.strip()}; {code}: commit {commit.strip()}, {state}")


def check_sweeps(store: Store) -> Iterator[Check]:
    """Find sweeps with unfinished runs that no process works on, and with runs that could not be started.

    The states are those of `launch status` if the store asks a cluster, otherwise those of the files alone.
    """
    for name in store.sweeps():
        sweep = store.sweep(name).state()
        views = [view for view in sweep.views() if not (view.waits or sweep.manifest.is_earlier(view.run_id))]
        left = {state: sum(v.state == state for v in views) for state in (State.LOST, State.PREEMPTED, State.PLANNED)}
        if any(left.values()):
            words = ", ".join(f"{count} {state.lower()}" for state, count in left.items() if count)
            found = f"{words}, and no process of this machine works on it"
            yield warn(f"sweep {name}", found, "`launch status` asks its cluster; `launch sweep FILE` resumes it")
        started = (State.RUNNING, State.SUCCEEDED)
        unstarted = [v for v in views if v.state not in started and v.reason is Reason.START]
        if unstarted:
            words = f"{len(unstarted)} failed to start; {unstarted[0].run_id}: {unstarted[0].message}"
            failed = any(view.state is State.FAILED for view in unstarted)
            again = f"`launch retry {name}` runs them again" if failed else "`launch sweep FILE` tries them again"
            yield warn(f"sweep {name}", words, f"once that is corrected, {again}")


def _ask(*command: str) -> str | None:
    """Return the output of a program; None if the program is missing, fails or does not end in time."""
    try:
        done = run_program(command, timeout_s=_ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
