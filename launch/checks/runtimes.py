"""What this machine can execute images with, and what stands in the way: one check per fact. Changes nothing."""

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

from launch.checks.check import Check, Level
from launch.containers.diagnostics import docker_remedy, subordinates_remedy, suggest_fix, summarize_output
from launch.containers.images.catalog import load_images
from launch.containers.images.convert import IMAGES
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.specs.choices import BackendName

_ASK_S = 20.0
_ROOM = 6 << 30  # what converting an image with CUDA takes for a while, where it is unpacked
_OLDEST_APPTAINER = (1, 1)  # since then a value of a variable can be handed in as it stands
_GIB = 1 << 30
# What both mount over or read in any image, and a program that none has.
_EMPTY_ROOT = ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var/tmp")
_EMPTY_FILES = ("etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf")
_NO_PROGRAM = "/launch-doctor-nothing"
_APPTAINER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SUBORDINATE = Path("/etc/subuid")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a program said; None as its code: it is not here, or did not answer in time."""

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
    """Look at every runtime, at what they need of the machine, and at the images' needs.

    Args:
        runs: Where runs lie; images are converted beside them.
        profile: Where runs execute; None for this machine, under `bare`.

    Yields:
        The checks. That a runtime is missing is a failure only where the profile names it.
    """
    wanted = "bare" if profile is None else profile.runtime
    elsewhere = profile is not None and profile.backend == BackendName.SLURM
    missing: list[str] = []
    for name, look in _LOOKS.items():
        check = look()
        if check is None:
            missing.append(name)
        elif name == wanted or check.level is not Level.FAIL:
            yield check
        else:
            yield Check(name=name, level=Level.WARN, message=check.message, advice=check.advice)
    if wanted in missing:
        yield _missing(wanted, elsewhere=elsewhere)
    if others := [name for name in missing if name != wanted]:
        yield Check(name="runtimes", level=Level.OK, message=f"not here: {', '.join(others)}; bare needs nothing")
    if len(missing) < len(_LOOKS):
        yield from check_images()
        yield check_cgroup()
        yield from check_memlock()
        yield from check_room(runs)


def _missing(name: str, *, elsewhere: bool) -> Check:
    if elsewhere and name != "pyxis":
        message = f"not on the PATH here; the nodes must have {name}"
        advice = f"where a module brings it, say in the profile: setup: [module load {name}]"
        return Check(name=name, level=Level.WARN, message=message, advice=advice)
    advice = {
        "pyxis": "the site's Slurm must have the plugin; else say runtime: apptainer",
        "charliecloud": "`apt-get install charliecloud-runtime`, or ask the site for it",
        "apptainer": "apptainer.org/docs says how to install it; it needs no rights to be used",
    }.get(name, f"`apt-get install {'docker.io' if name == 'docker' else name}`; docs/containers.md has more")
    return Check(name=name, level=Level.FAIL, message="the profile's runtime is not here", advice=advice)


def check_docker() -> Check | None:
    """Does a Docker engine answer? None if there is no client."""
    if shutil.which("docker") is None:
        return None
    answer = _ask("docker", "version", "--format", "{{.Server.Version}}")
    if answer.code == 0:
        gpus = "" if shutil.which("nvidia-smi") is None else _docker_gpus()
        return Check(name="docker", level=Level.OK, message=f"the engine {answer.words} answers{gpus}")
    advice = docker_remedy(answer.text, _user())
    return Check(name="docker", level=Level.FAIL, message=f"no engine: {answer.words}", advice=advice)


def _docker_gpus() -> str:
    if shutil.which("nvidia-container-runtime-hook") or shutil.which("nvidia-ctk"):
        return "; it can hand out GPUs"
    return "; without NVIDIA's container toolkit it hands out no GPUs"


def check_podman() -> Check | None:
    """Can this user start containers with Podman? None if it is not here."""
    if shutil.which("podman") is None:
        return None
    answer = _ask("podman", "version", "--format", "{{.Client.Version}}")
    if answer.code != 0:
        return _failing("podman", answer, "`podman info` says more")
    version = ".".join(map(str, answer.version or ()))
    if os.getuid() != 0 and not _has_subordinates():
        message = f"{version}; {_user()} has no line in {_SUBORDINATE}"
        return Check(name="podman", level=Level.FAIL, message=message, advice=subordinates_remedy(_user()))
    if os.getuid() != 0 and shutil.which("newuidmap") is None:
        message = f"{version}; newuidmap is not on the PATH, which gives a container its users"
        return Check(name="podman", level=Level.FAIL, message=message, advice="`apt-get install uidmap`")
    how = "as root" if os.getuid() == 0 else "without root's rights"
    return Check(name="podman", level=Level.OK, message=f"{version}, {how}")


def check_apptainer() -> Check | None:
    """Can this user execute .sif files? None if Apptainer is not here."""
    if shutil.which("apptainer") is None:
        return None
    answer = _ask("apptainer", "--version")
    if answer.version is None:
        return _failing("apptainer", answer, "`apptainer --version` says more")
    version = ".".join(map(str, answer.version))
    if answer.version < _OLDEST_APPTAINER:
        message = f"{version} is too old: {'.'.join(map(str, _OLDEST_APPTAINER))} is needed"
        return Check(name="apptainer", level=Level.FAIL, message=message, advice="ask the site for a newer module")
    check = _try("apptainer", version, ["apptainer", "--quiet", "exec", "--contain"])
    if check.level is not Level.OK or os.getuid() == 0 or _is_setuid():
        return check
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        message = f"{version}; a .sif file cannot be opened: no access to /dev/fuse, and no setuid helper"
        advice = "`apt-get install fuse3`, or unpack: `apptainer build --sandbox FOLDER FILE.sif`, then image: FOLDER"
        return Check(name="apptainer", level=Level.FAIL, message=message, advice=advice)
    if _squashfuse() is None:
        message = f"{version}; without squashfuse a .sif file is unpacked again for every attempt"
        return Check(name="apptainer", level=Level.WARN, message=message, advice="`apt-get install squashfuse`")
    return check


def check_charliecloud() -> Check | None:
    """Can this user unshare what ch-run does? None if Charliecloud is not here."""
    if shutil.which("ch-run") is None:
        return None
    answer = _ask("ch-run", "--version")
    if answer.version is None:
        return _failing("charliecloud", answer, "`ch-run --version` says more")
    return _try("charliecloud", ".".join(map(str, answer.version)), ["ch-run"], "--")


def check_pyxis() -> Check | None:
    """Does Slurm's srun know Pyxis's options? None if it does not, or there is no srun."""
    if shutil.which("srun") is None or "--container-image" not in _ask("srun", "--help").text:
        return None
    return Check(name="pyxis", level=Level.OK, message="srun takes --container-image")


_LOOKS: dict[str, Callable[[], Check | None]] = {
    "docker": check_docker,
    "podman": check_podman,
    "apptainer": check_apptainer,
    "charliecloud": check_charliecloud,
    "pyxis": check_pyxis,
}


def _failing(name: str, answer: _Answer, otherwise: str) -> Check:
    advice = suggest_fix(answer.text, _user()) or otherwise
    return Check(name=name, level=Level.FAIL, message=f"it fails: {answer.words}", advice=advice)


def _try(name: str, version: str, before: Sequence[str], *after: str) -> Check:
    """Have a runtime start a container of an empty folder: it must come as far as to find no program there.

    Args:
        name: The runtime.
        version: Its version.
        before: What is typed before the image.
        after: What is typed between the image and the command.
    """
    with tempfile.TemporaryDirectory(prefix="launch-doctor-") as folder:
        for path in _EMPTY_ROOT:
            (Path(folder) / path).mkdir(parents=True)
        for path in _EMPTY_FILES:
            (Path(folder) / path).touch()
        # Else Apptainer makes a folder in the user's home.
        answer = _ask(*before, folder, *after, _NO_PROGRAM, variables={"APPTAINER_CONFIGDIR": folder})
    if f"{_NO_PROGRAM}: no such file" in answer.text.lower():
        return Check(name=name, level=Level.OK, message=version)
    advice = suggest_fix(answer.text, _user()) or "docs/containers.md says what it needs"
    message = f"{version}; it starts no container: {answer.words}"
    return Check(name=name, level=Level.FAIL, message=message, advice=advice)


def _squashfuse() -> str | None:
    """Return the program that opens a .sif file for a user; Apptainer looks beyond the PATH."""
    path = f"{os.environ.get('PATH', '')}:{_APPTAINER_PATH}"
    return shutil.which("squashfuse_ll", path=path) or shutil.which("squashfuse", path=path)


def check_images() -> Iterator[Check]:
    """Is the driver of this machine's GPUs new enough for each image?"""
    if shutil.which("nvidia-smi") is None:
        return
    answer = _ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    if answer.code != 0 or answer.version is None:
        return  # the check of the GPUs says so
    driver = answer.version[0]
    try:
        specs = [spec for spec in load_images().values() if spec.min_driver is not None]
    except LaunchError as error:
        yield Check(name="images", level=Level.WARN, message=error.message, advice=error.hint)
        return
    for spec in specs:
        needed = spec.min_driver or 0
        if driver >= needed:
            message = f"the driver {driver} is new enough (from {needed})"
            yield Check(name=f"image {spec.name}", level=Level.OK, message=message)
            continue
        fits = [other.name for other in specs if driver >= (other.min_driver or 0)]
        advice = f"use {fits[-1]}, or update the driver" if fits else "update the driver"
        message = f"the driver {driver} is too old: {needed} is needed"
        yield Check(name=f"image {spec.name}", level=Level.WARN, message=message, advice=advice)


def check_cgroup() -> Check:
    """Which version of control groups is here: it decides who can limit the memory of a container."""
    if (_CGROUP / "cgroup.controllers").exists():
        return Check(name="cgroup", level=Level.OK, message="version 2")
    if not (_CGROUP / "memory").is_dir():
        advice = "docker and podman cannot limit memory: mount the controllers, or leave mem_gb out"
        return Check(name="cgroup", level=Level.WARN, message="no controller of memory is mounted", advice=advice)
    advice = None if os.getuid() == 0 else "podman cannot limit memory without root's rights here"
    return Check(name="cgroup", level=Level.OK, message="version 1", advice=advice)


def check_memlock() -> Iterator[Check]:
    """How much memory may be locked? Networks between GPUs of several nodes want all of it."""
    limit, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY:
        yield Check(name="memlock", level=Level.OK, message="unlimited")
    elif shutil.which("nvidia-smi") is None:
        yield Check(name="memlock", level=Level.OK, message=f"{limit >> 10} KiB; it matters for GPUs of several nodes")
    else:
        advice = "for InfiniBand: `ulimit -l unlimited` here, ulimits: {memlock: -1} in a profile of docker or podman"
        if most != resource.RLIM_INFINITY:
            advice = f"root raises it in /etc/security/limits.conf; {advice}"
        yield Check(name="memlock", level=Level.WARN, message=f"{limit >> 10} KiB", advice=advice)


def check_room(runs: Path) -> Iterator[Check]:
    """Is there room where images are unpacked, and where converted ones lie?"""
    scratch = Path(os.environ.get("APPTAINER_TMPDIR") or tempfile.gettempdir())
    hints = {
        scratch: "$APPTAINER_TMPDIR or $TMPDIR names another folder",
        runs / IMAGES: "`launch gc` thins finished runs; --runs names another folder",
    }
    for folder, hint in hints.items():
        there = next((place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir()), Path("/"))
        free, writable = shutil.disk_usage(there).free, os.access(there, os.W_OK | os.X_OK)
        message = f"{folder}: {free / _GIB:.0f} GiB free" if writable else f"{there} cannot be written"
        fits = writable and free >= _ROOM
        level, name = Level.OK if fits else Level.WARN, "unpacking" if folder == scratch else "converted"
        need = f"an image with CUDA takes {_ROOM // _GIB} GiB for a while: {hint}"
        yield Check(name=name, level=level, message=message, advice=None if fits else need)


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
    environment = {**os.environ, "USER": os.environ.get("USER") or _user(), "LC_ALL": "C", **(variables or {})}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
            timeout=_ASK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Answer(code=None, text=f"no answer in {_ASK_S:g} s")
    except OSError as error:
        return _Answer(code=None, text=str(error))
    return _Answer(code=done.returncode, text=done.stdout)
