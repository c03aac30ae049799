"""Check which runtimes work on this machine, and why the others do not. The checks change nothing."""

from __future__ import annotations

import getpass
import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.checks.check import Check, Level, fail, ok, warn
from launch.containers.diagnostics import docker_remedy, subordinates_remedy, suggest_fix, summarize_output
from launch.containers.images.catalog import load_images
from launch.containers.images.convert import IMAGES
from launch.containers.programs import run_program
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.specs.choices import BackendName
from launch.specs.environment import clean_environment

_ASK_S = 20.0
_GIB = 1 << 30
_ROOM = 6 * _GIB  # the temporary space that the conversion of an image with CUDA needs
_OLDEST_APPTAINER = (1, 1)  # older versions evaluate the values of variables in a shell
# Folders and files that Apptainer and ch-run need in any image, and a program that does not exist in it.
_EMPTY_ROOT = ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var/tmp")
_EMPTY_FILES = ("etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf")
_NO_PROGRAM = "/launch-doctor-nothing"
_APPTAINER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SUBORDINATE = Path("/etc/subuid")
_CGROUP = Path("/sys/fs/cgroup")
_INSTALL = {
    "docker": "`apt-get install docker.io`; docs/containers.md has more",
    "podman": "`apt-get install podman`; docs/containers.md has more",
    "apptainer": "apptainer.org/docs says how to install it; it needs no rights to be used",
    "charliecloud": "`apt-get install charliecloud-runtime`, or ask the site for it",
    "pyxis": "the site's Slurm must have the plugin; otherwise use runtime: apptainer",
}


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """The exit code and the output of a program; the code is None if it is not installed or did not end in time."""

    code: int | None
    text: str

    @property
    def version(self) -> tuple[int, ...] | None:
        found = re.search(r"\d+(?:\.\d+)+", self.text) if self.code == 0 else None
        return tuple(map(int, found[0].split("."))) if found else None

    @property
    def words(self) -> str:
        return summarize_output(self.text)


def examine_runtimes(runs: Path, profile: Profile | None = None) -> Iterator[Check]:
    """Check every runtime, and what runtimes and images need from the machine.

    Args:
        runs: The folder of all run directories; converted images are in its `.images`.
        profile: The profile with which runs execute; None for this machine with the runtime `bare`.

    Yields:
        The results. A missing or broken runtime is a failure only if the profile names it.
    """
    wanted = "bare" if profile is None else profile.runtime
    missing: list[str] = []
    for name, look in _LOOKS.items():
        check = look()
        if check is None:
            missing.append(name)
        elif name == wanted or check.level is not Level.FAIL:
            yield check
        elif profile is not None and profile.file is not None and wanted == "bare":
            yield ok(name, f"{check.message}; the profile's runtime, bare, does not need it", check.advice)
        else:
            yield warn(name, check.message, check.advice)
    if wanted in missing:
        yield _missing(wanted, on_nodes=profile is not None and profile.backend == BackendName.SLURM)
    if others := [name for name in missing if name != wanted]:
        yield ok("runtimes", f"not here: {', '.join(others)}; the runtime bare needs none of them")
    if len(missing) < len(_LOOKS):
        yield from check_images()
        yield check_cgroup()
        yield from check_memlock()
        yield from check_room(runs)


def _missing(name: str, *, on_nodes: bool) -> Check:
    if on_nodes and name != "pyxis":
        advice = f"if a module provides it, set in the profile: setup: [module load {name}]"
        return warn(name, f"not on the PATH here; the nodes must have {name}", advice)
    return fail(name, "the profile's runtime is not here", _INSTALL[name])


def check_docker() -> Check | None:
    """Check that a Docker engine answers; None if docker's command line is not installed."""
    if shutil.which("docker") is None:
        return None
    answer = _ask("docker", "version", "--format", "{{.Server.Version}}")
    if answer.code != 0:
        return fail("docker", f"no engine: {answer.words}", docker_remedy(answer.text, _user()))
    gpus = ""
    if shutil.which("nvidia-smi"):
        has_toolkit = shutil.which("nvidia-container-runtime-hook") or shutil.which("nvidia-ctk")
        gpus = "it can hand out GPUs" if has_toolkit else "without NVIDIA's container toolkit it hands out no GPUs"
    return ok("docker", f"the engine {answer.words} answers{'; ' if gpus else ''}{gpus}")


def check_podman() -> Check | None:
    """Check that this user can start containers with Podman; None if it is not installed."""
    if shutil.which("podman") is None:
        return None
    answer = _ask("podman", "version", "--format", "{{.Client.Version}}")
    if answer.code != 0:
        return _failing("podman", answer, "`podman info` says more")
    version = _dotted(answer.version or ())
    if os.getuid() == 0:
        return ok("podman", f"{version}, as root")
    if not _has_subordinates():
        return fail("podman", f"{version}; {_user()} has no line in {_SUBORDINATE}", subordinates_remedy(_user()))
    if shutil.which("newuidmap") is None:
        message = f"{version}; newuidmap, which gives a container its users, is not on the PATH"
        return fail("podman", message, "`apt-get install uidmap`")
    return ok("podman", f"{version}, without root's rights")


def check_apptainer() -> Check | None:
    """Check that this user can execute .sif files; None if Apptainer is not installed."""
    if shutil.which("apptainer") is None:
        return None
    answer = _ask("apptainer", "--version")
    if answer.version is None:
        return _failing("apptainer", answer, "`apptainer --version` says more")
    version = _dotted(answer.version)
    if answer.version < _OLDEST_APPTAINER:
        message = f"{version} is too old: {_dotted(_OLDEST_APPTAINER)} is needed"
        return fail("apptainer", message, "ask the site for a newer module")
    check = _try("apptainer", version, ["apptainer", "--quiet", "exec", "--contain"])
    if check.level is not Level.OK or os.getuid() == 0 or _is_setuid():
        return check
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        message = f"{version}; a .sif file cannot be opened: no access to /dev/fuse, and no setuid helper"
        advice = "`apt-get install fuse3`, or unpack: `apptainer build --sandbox FOLDER FILE.sif`, then image: FOLDER"
        return fail("apptainer", message, advice)
    # Apptainer also looks outside the PATH for squashfuse, which opens a .sif file for an ordinary user.
    path = f"{os.environ.get('PATH', '')}:{_APPTAINER_PATH}"
    if not any(shutil.which(name, path=path) for name in ("squashfuse_ll", "squashfuse")):
        message = f"{version}; without squashfuse a .sif file is unpacked again for every attempt"
        return warn("apptainer", message, "`apt-get install squashfuse`")
    return check


def check_charliecloud() -> Check | None:
    """Check that ch-run can start a container for this user; None if Charliecloud is not installed."""
    if shutil.which("ch-run") is None:
        return None
    answer = _ask("ch-run", "--version")
    if answer.version is None:
        return _failing("charliecloud", answer, "`ch-run --version` says more")
    return _try("charliecloud", _dotted(answer.version), ["ch-run"], "--")


def check_pyxis() -> Check | None:
    """Check that Slurm's srun has the options of Pyxis; None if it does not, or without srun."""
    if shutil.which("srun") is None or "--container-image" not in _ask("srun", "--help").text:
        return None
    return ok("pyxis", "srun takes --container-image")


_LOOKS: dict[str, Callable[[], Check | None]] = {
    "docker": check_docker,
    "podman": check_podman,
    "apptainer": check_apptainer,
    "charliecloud": check_charliecloud,
    "pyxis": check_pyxis,
}


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _failing(name: str, answer: _Answer, otherwise: str) -> Check:
    return fail(name, f"it fails: {answer.words}", suggest_fix(answer.text, _user()) or otherwise)


def _try(name: str, version: str, before: Sequence[str], *after: str) -> Check:
    """Let a runtime start a missing program in an empty folder: the right error shows that the runtime works."""
    with tempfile.TemporaryDirectory(prefix="launch-doctor-") as folder:
        for path in _EMPTY_ROOT:
            (Path(folder) / path).mkdir(parents=True)
        for path in _EMPTY_FILES:
            (Path(folder) / path).touch()
        # Without APPTAINER_CONFIGDIR Apptainer would make a folder in the user's home.
        answer = _ask(*before, folder, *after, _NO_PROGRAM, variables={"APPTAINER_CONFIGDIR": folder})
    if f"{_NO_PROGRAM}: no such file" in answer.text.lower():
        return ok(name, version)
    advice = suggest_fix(answer.text, _user()) or "docs/containers.md says what it needs"
    return fail(name, f"{version}; it starts no container: {answer.words}", advice)


def check_images() -> Iterator[Check]:
    """Check that the driver of this machine's GPUs is new enough for each image."""
    answer = _ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    if answer.version is None:
        return  # there are no GPUs, or `check_gpu` reports the failure
    driver = answer.version[0]
    try:
        needs = {spec.name: spec.min_driver for spec in load_images().values() if spec.min_driver is not None}
    except LaunchError as error:
        yield warn("images", error.message, error.hint)
        return
    fits = [name for name, needed in needs.items() if driver >= needed]
    for name, needed in needs.items():
        if name in fits:
            yield ok(f"image {name}", f"the driver {driver} is new enough (from {needed})")
        else:
            advice = f"use {fits[-1]}, or update the driver" if fits else "update the driver"
            yield warn(f"image {name}", f"the driver {driver} is too old: {needed} is needed", advice)


def check_cgroup() -> Check:
    """Check the version of control groups, which decides whether runtimes can limit a container's memory."""
    if (_CGROUP / "cgroup.controllers").exists():
        return ok("cgroup", "version 2")
    if not (_CGROUP / "memory").is_dir():
        advice = "docker and podman cannot limit memory: mount the controllers, or leave mem_gb out"
        return warn("cgroup", "no controller of memory is mounted", advice)
    return ok("cgroup", "version 1", None if os.getuid() == 0 else "without root's rights podman cannot limit memory")


def check_memlock() -> Iterator[Check]:
    """Check how much memory a process may lock. Networks between GPUs of several nodes need no limit."""
    limit, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY:
        yield ok("memlock", "unlimited")
    elif shutil.which("nvidia-smi") is None:
        yield ok("memlock", f"{limit >> 10} KiB; it matters for GPUs of several nodes")
    else:
        advice = "for InfiniBand: `ulimit -l unlimited` here, ulimits: {memlock: -1} in a profile of docker or podman"
        if most != resource.RLIM_INFINITY:
            advice = f"root raises it in /etc/security/limits.conf; {advice}"
        yield warn("memlock", f"{limit >> 10} KiB", advice)


def check_room(runs: Path) -> Iterator[Check]:
    """Check the free space for unpacking images and for converted images."""
    scratch = Path(os.environ.get("APPTAINER_TMPDIR") or tempfile.gettempdir())
    hint = "`launch gc` thins finished runs; --runs names another folder"
    yield _room("unpacking", scratch, "$APPTAINER_TMPDIR or $TMPDIR names another folder")
    yield _room("converted", runs / IMAGES, hint)


def _room(name: str, folder: Path, hint: str) -> Check:
    there = next((place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir()), Path("/"))
    free, writable = shutil.disk_usage(there).free, os.access(there, os.W_OK | os.X_OK)
    message = f"{folder}: {free / _GIB:.0f} GiB free" if writable else f"{there} cannot be written"
    if writable and free >= _ROOM:
        return ok(name, message)
    return warn(name, message, f"an image with CUDA takes {_ROOM // _GIB} GiB for a while: {hint}")


def _has_subordinates() -> bool:
    try:
        lines = _SUBORDINATE.read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in (_user(), str(os.getuid())) for line in lines)


def _is_setuid() -> bool:
    program = shutil.which("apptainer")
    if program is None:
        return False
    libraries = Path(os.path.realpath(program)).parents[1]
    helpers = [*libraries.glob("lib*/apptainer/bin/starter-suid"), *libraries.glob("lib*/*/apptainer/bin/starter-suid")]
    return any(os.stat(helper).st_mode & 0o4000 for helper in helpers)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _ask(*words: str, variables: Mapping[str, str] | None = None) -> _Answer:
    own = {"USER": os.environ.get("USER") or _user(), "LC_ALL": "C"}
    environment = {**clean_environment(os.environ), **own, **(variables or {})}
    try:
        done = run_program(words, timeout_s=_ASK_S, environment=environment)
    except subprocess.TimeoutExpired:
        return _Answer(code=None, text=f"no answer in {_ASK_S:g} s")
    except OSError as error:
        return _Answer(code=None, text=str(error))
    return _Answer(code=done.returncode, text=done.stdout + done.stderr)
