"""What this machine has, what it lacks, and what to do about it: one line per fact. Changes nothing."""

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

from launch.backends.local.slots import find_machine
from launch.checks.check import Check, Level
from launch.checks.runtimes import examine_runtimes
from launch.checks.slurm import examine_cluster
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.specs.choices import BackendName
from launch.store.state import State
from launch.store.store import Store

_REPOSITORY = Path(__file__).resolve().parents[2]
_LOCK = _REPOSITORY / "docker" / "locks" / "cpu.txt"
_LEAST_PYTHON = (3, 11)
# What the launcher itself imports, and what a training process cannot do without.
_LAUNCHER = ("docker", "hydra-core", "omegaconf", "pyyaml", "rich", "submitit")
_TRAINING = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_FREE_WARN = 10 << 30
_FREE_FAIL = 1 << 30
_ASK_S = 10  # how long another program may take to answer

_Looks = tuple[tuple[str, Callable[[], Iterator[Check]]], ...]


def examine(runs: Path | None = None, profile: Profile | None = None) -> Iterator[Check]:
    """Look at everything a run needs.

    Args:
        runs: Where runs lie; None for the default place.
        profile: Where runs execute; None for this machine.

    Yields:
        The checks, in the order of a reader's interest. One that breaks is itself a failed check.
    """
    store = Store(runs)
    here: _Looks = (("cpu", check_cpu), ("gpu", check_gpu), ("slots", check_slots))
    if profile is not None and profile.backend == BackendName.SLURM:
        here = (("slurm", lambda: examine_cluster(profile, store.root)),)
    looks: _Looks = (
        ("python", check_python),
        ("packages", check_packages),
        *here,
        ("runtimes", lambda: examine_runtimes(store.root, profile)),
        ("runs", lambda: check_runs(store.root)),
        ("data", check_data),
        ("git", check_git),
        ("sweeps", lambda: check_sweeps(store)),
    )
    for name, look in looks:
        try:
            yield from look()
        except LaunchError as error:
            yield Check(name=name, level=Level.FAIL, message=error.message, advice=error.hint)
        except OSError as error:
            yield Check(name=name, level=Level.FAIL, message=f"cannot be looked at: {error}")


def check_python() -> Iterator[Check]:
    """Is this Python new enough?"""
    version = platform.python_version()
    if sys.version_info >= _LEAST_PYTHON:
        yield Check(name="python", level=Level.OK, message=f"{version} ({sys.executable})")
    else:
        advice = "make the environment with Python 3.11 or newer"
        yield Check(name="python", level=Level.FAIL, message=f"{version} is too old", advice=advice)


def check_packages(lock: Path = _LOCK) -> Iterator[Check]:
    """Are the packages there, in the versions that the lock names?

    Args:
        lock: The hash-pinned lock file; where there is none, only presence is checked.
    """
    for name, wanted in (("launcher", _LAUNCHER), ("training", _TRAINING)):
        missing = [package for package in wanted if _version(package) is None]
        found = ", ".join(f"{package} {_version(package)}" for package in wanted if package not in missing)
        advice = "`make env` installs them; without make: `pip install 's5-launch[cpu,data]'`"
        if missing:
            yield Check(name=name, level=Level.FAIL, message=f"missing: {', '.join(missing)}", advice=advice)
        else:
            yield Check(name=name, level=Level.OK, message=found)
    if lock.is_file():
        yield _against_lock(lock)


def _against_lock(lock: Path) -> Check:
    # A lock for every Python names a package once per marker; any of its versions will do.
    pinned: dict[str, list[str]] = {}
    for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
        pinned.setdefault(package, []).append(version)
    differ = [
        f"{package} {found} (lock: {' or '.join(versions)})"
        for package, versions in pinned.items()
        if (found := _version(package)) is not None and found not in versions
    ]
    if not differ:
        return Check(name="lock", level=Level.OK, message=f"every installed package is the one of {lock.name}")
    shown = ", ".join(differ[:4]) + (f" and {len(differ) - 4} more" if len(differ) > 4 else "")
    advice = "results may differ from those of the lock; `make env` installs the lock's versions"
    return Check(name="lock", level=Level.WARN, message=shown, advice=advice)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_cpu() -> Iterator[Check]:
    """Which cores and how much memory are there?"""
    usable, total = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    cores = f"{total} cores" if usable == total else f"{usable} of {total} cores"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    model = _cpu_model() or platform.machine()
    yield Check(name="cpu", level=Level.OK, message=f"{cores}, {model}, {memory / 2**30:.0f} GiB of memory")


def _cpu_model() -> str | None:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None


def check_gpu() -> Iterator[Check]:
    """Which GPUs are there, with which driver, and can JAX use them?"""
    if shutil.which("nvidia-smi") is None:
        yield Check(name="gpu", level=Level.OK, message="none found (no nvidia-smi): runs use the CPU")
        return
    answer = _ask("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    if answer is None:
        advice = "`nvidia-smi` says why; the driver may not be loaded"
        yield Check(name="gpu", level=Level.WARN, message="nvidia-smi is there and fails", advice=advice)
        return
    gpus = [line for line in answer.splitlines() if line.strip()]
    for index, line in enumerate(gpus):
        yield Check(name=f"gpu {index}", level=Level.OK, message=line.strip())
    if gpus and not any(_version(f"jax-cuda{major}-plugin") for major in (12, 13)):
        advice = "`pip install 'jax[cuda12]'` in the version of jax that is installed, or run in a container"
        yield Check(
            name="gpu jax", level=Level.WARN, message="JAX has no CUDA plugin here: runs use the CPU", advice=advice
        )


def check_slots() -> Iterator[Check]:
    """How many runs can this machine take at once?"""
    machine = find_machine(gpus=True)
    what = f"{len(machine.gpus)} runs of one GPU" if machine.gpus else f"{len(machine.cores)} runs of one core"
    # Which slots are taken is known to their locks alone; trying them would disturb whoever wants them now.
    yield Check(name="slots", level=Level.OK, message=f"{what} at once")


def check_runs(root: Path) -> Iterator[Check]:
    """Can runs be written where they lie, and is there room?

    Args:
        root: The folder of all run directories. It is not made.
    """
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    what = f"{root}" if there == root.absolute() else f"{root} (not made yet)"
    if not there.is_dir():
        yield Check(name="runs", level=Level.FAIL, message=f"{there} is not a folder", advice="--runs names another")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        advice = "--runs or $LAUNCH_RUNS names another folder"
        yield Check(name="runs", level=Level.FAIL, message=f"{there} cannot be written", advice=advice)
        return
    free = shutil.disk_usage(there).free
    level = Level.FAIL if free < _FREE_FAIL else Level.WARN if free < _FREE_WARN else Level.OK
    advice = None if level is Level.OK else "`launch gc` thins finished runs; --runs names another folder"
    yield Check(name="runs", level=level, message=f"{what}: writable, {free / 2**30:.0f} GiB free", advice=advice)


def check_data() -> Iterator[Check]:
    """Which data sets are here?"""
    from s5.catalog import CATALOG, DataError, check_available

    here: list[str] = []
    for name in CATALOG:
        with suppress(DataError):
            check_available(name)
            here.append(name)
    missing = [name for name in CATALOG if name not in here]
    level = Level.OK if here else Level.WARN
    yield Check(name="data", level=level, message=f"here: {', '.join(here) or 'none'}")
    if missing:
        advice = "`launch data prepare NAME` finds or makes one, or says what it needs"
        yield Check(name="other data", level=Level.OK, message=f"not here: {', '.join(missing)}", advice=advice)


def check_git(code: Path = _REPOSITORY) -> Iterator[Check]:
    """Does git say which code runs?

    Args:
        code: Where the code lies that runs execute.
    """
    version = _ask("git", "--version")
    if version is None:
        advice = "install git: without it, only the package folders are snapshotted"
        yield Check(name="git", level=Level.WARN, message="not found", advice=advice)
        return
    commit = _ask("git", "-C", str(code), "rev-parse", "--short", "HEAD")
    if commit is None:
        yield Check(name="git", level=Level.OK, message=f"{version.strip()}; the code in {code} is in no repository")
        return
    changed = len((_ask("git", "-C", str(code), "status", "--porcelain") or "").splitlines())
    state = f"{changed} uncommitted changes (snapshots hold them)" if changed else "clean"
    yield Check(name="git", level=Level.OK, message=f"{version.strip()}; {code}: commit {commit.strip()}, {state}")


def check_sweeps(store: Store) -> Iterator[Check]:
    """Is there a sweep that a person has to go on with?"""
    for name in store.sweeps():
        views = [view for view in store.sweep(name).views() if not view.waits]
        left = {state: sum(v.state == state for v in views) for state in (State.LOST, State.PREEMPTED, State.PLANNED)}
        if any(left.values()):
            words = ", ".join(f"{count} {state.lower()}" for state, count in left.items() if count)
            advice = "`launch sweep FILE` goes on with them"
            yield Check(
                name=f"sweep {name}", level=Level.WARN, message=f"{words}, and nobody works on it", advice=advice
            )


def _ask(*command: str) -> str | None:
    """Return what a program prints; None if it is not there, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
