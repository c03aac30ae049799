"""Where and how runs execute: the profile of a machine or a cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.errors import LaunchError, ProfileError, did_you_mean, unknown
from launch.grammar import looks_secret
from launch.profiles.slurm import SLURM_KEYS, SlurmSettings, read_slurm_settings
from launch.specs.choices import BACKENDS, ENGINES, RUNTIMES, BackendName, RuntimeName
from launch.specs.container import PASS_VARIABLE, ContainerSettings
from launch.specs.mount import Mount, parse_mount
from launch.yaml_file import Place, describe, printable, read_yaml

_CONTAINER_KEYS = ("network", "shm_gb", "ulimits")
_MOUNT_FORM = "SRC[:DST][:rw], such as ~/corpora:/corpora"
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # which there are, the engine knows
# What getrlimit knows, as both engines spell it.
_LIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio"),
    *("rttime", "sigpending", "stack"),
)
_MOST_SHM_GB = 1e6
_MOST_LIMIT = 2**63 - 1
_SHARED_KEYS = ("runs_dir", "env", "image", "mounts", *_CONTAINER_KEYS)
_LOCAL_KEYS = ("backend", "runtime", "slots", "slots_per_gpu", *_SHARED_KEYS)
_SLURM_KEYS = ("backend", "runtime", *_SHARED_KEYS, *SLURM_KEYS)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One machine or cluster.

    Attributes:
        name: Its name.
        backend: Who schedules: `local` or `slurm`.
        runtime: What wraps the command: `bare`, or what executes it in a container.
        image: The image its runs execute in; None for the one that fits what they ask for.
        mounts: What runs see of the host besides their own folders, the code, data and caches.
        container: How an engine sets their containers up.
        slots: Runs at once on this machine; None for as many as its cores or GPUs allow.
        slots_per_gpu: Runs that share one GPU.
        runs_dir: Where run directories lie; None for `$LAUNCH_RUNS`, else `./runs`.
        env: Variables set for every run; no secrets.
        site: What the cluster wants to be told.
        file: The profile's file, for messages; None if it needs none.
    """

    name: str
    backend: BackendName = BackendName.LOCAL
    runtime: RuntimeName = RuntimeName.BARE
    image: str | None = None
    mounts: tuple[Mount, ...] = ()
    container: ContainerSettings = field(default_factory=ContainerSettings)
    slots: int | None = None
    slots_per_gpu: int = 1
    runs_dir: str | None = None
    env: dict[str, str] = field(default_factory=dict[str, str])
    site: SlurmSettings = field(default_factory=SlurmSettings)
    file: str | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What a supervisor finds in its environment: the variables that are set for every run, and their names."""
        return {**self.env, PASS_VARIABLE: ",".join(self.env)} if self.env else {}


def profile_folders() -> list[Path]:
    """Return the folders of profiles: `slurm/` here and next to the launcher's code, then the user's own."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [Path("slurm"), Path(__file__).parents[2] / "slurm", Path(config) / "launch"]


def profile_names(folders: Sequence[Path] | None = None) -> list[str]:
    """Return the names of the profiles that there are, `local` first."""
    found = {path.stem for folder in folders or profile_folders() for path in _yaml_files(folder)}
    return ["local", *sorted(found - {"local"})]


def load_profile(name: str = "local", folders: Sequence[Path] | None = None) -> Profile:
    """Return a profile by its name.

    Args:
        name: `local`, which needs no file, or the name of a file without `.yaml`.
        folders: Where to look, best first; None for `profile_folders()`.

    Raises:
        LaunchError: If there is no such profile, or it is not valid.
    """
    folders = folders or profile_folders()
    if _NAME.fullmatch(name):
        for folder in folders:
            path = folder / f"{name}.yaml"
            if path.is_file():
                return _read(name, path)
        if name == "local":
            return Profile(name=name)
    known = profile_names(folders)
    message = f"there is no profile {printable(name)!r}{did_you_mean(name, known)}"
    # In the repository both `slurm` folders are the same.
    places = {os.path.realpath(folder): os.path.normpath(folder) for folder in reversed(folders)}
    where = ", ".join(map(printable, reversed(places.values())))
    raise LaunchError(message, hint=f"the profiles are {', '.join(known)}; a new one is a file NAME.yaml in {where}")


def check_word(kind: str, word: Any, place: Place | None = None) -> str:
    """Return the name of a `backend` or `runtime` if there is code for it; without a place it is the command line's."""
    allowed = {"backend": BACKENDS, "runtime": RUNTIMES}[kind]
    if place is not None:
        return place.choice(word, allowed, kind, "this version has")
    if word not in allowed:
        raise LaunchError(unknown(kind, word, allowed), hint=f"this version has {', '.join(allowed)}")
    return word


def _yaml_files(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.suffix == ".yaml" and _NAME.fullmatch(path.stem))
    except OSError:
        return


def _read(name: str, path: Path) -> Profile:
    place = Place(printable(str(path)), kind=ProfileError)
    values = read_yaml(path, place)
    # Before the keys: a profile written for a backend to come has keys of its own.
    for kind in ("backend", "runtime"):
        if kind in values:
            check_word(kind, values[kind], place.key(kind))
    backend = BackendName(values.get("backend", BackendName.LOCAL))
    if "backend" not in values and (meant := next((key for key in values if key in SLURM_KEYS), None)):
        raise place.key(meant).error("this is for a cluster, and the profile names no backend", "add `backend: slurm`")
    place.known_keys(values, _LOCAL_KEYS if backend is BackendName.LOCAL else _SLURM_KEYS)
    runs_dir, slots = values.get("runs_dir"), values.get("slots")
    return Profile(
        name=name,
        backend=backend,
        runtime=RuntimeName(values.get("runtime", RuntimeName.BARE)),
        image=None if values.get("image") is None else place.key("image").text(values["image"]),
        mounts=_mounts(values.get("mounts"), place.key("mounts")),
        container=_container(values, place),
        slots=None if slots is None else place.key("slots").whole(slots, 1),
        slots_per_gpu=place.key("slots_per_gpu").whole(values.get("slots_per_gpu", 1), 1),
        runs_dir=None if runs_dir is None else os.path.expanduser(place.key("runs_dir").text(runs_dir)),
        env=_env(values.get("env", {}), place.key("env")),
        site=read_slurm_settings(values, place) if backend is BackendName.SLURM else SlurmSettings(),
        file=place.file,
    )


def _mounts(value: Any, place: Place) -> tuple[Mount, ...]:
    """Return the mounts that a profile adds: `SRC[:DST][:rw]` each, or a mapping of SRC to the rest."""
    if value is None:
        return ()
    if isinstance(value, dict):
        pairs = place.mapping(value).items()
        words = [(f"{src}:{rest}" if rest is not None else str(src), place.key(str(src))) for src, rest in pairs]
    elif isinstance(value, list):
        # YAML reads `SRC: DST` with a space as a mapping.
        hint = f"{_MOUNT_FORM}, without a space after the colon"
        words = [
            (place.item(i).text(word, hint, "a mount"), place.item(i)) for i, word in enumerate(place.sequence(value))
        ]
    else:
        raise place.error(f"{describe(value)} is not a list", f"a list of {_MOUNT_FORM}")
    found: dict[str, Mount] = {}
    for word, at in words:
        try:
            mount = parse_mount(word)
            taken = found.setdefault(mount.target, mount)
            if taken != mount:
                raise ValueError(f"{taken.source} is mounted at {mount.target} too")
        except ValueError as error:
            raise at.error(f"{describe(word)}: {error}", _MOUNT_FORM) from error
    return tuple(found.values())


def _container(values: Mapping[str, Any], place: Place) -> ContainerSettings:
    """Return how a profile sets containers up."""
    said = next((key for key in _CONTAINER_KEYS if key in values), None)
    if said is not None and values.get("runtime", "bare") not in ("bare", *ENGINES):  # `--runtime` names another
        raise place.key(said).error("only an engine can do that", f"with runtime: {' or '.join(ENGINES)}")
    network, shm_gb = values.get("network"), values.get("shm_gb")
    if network is not None:
        at = place.key("network")
        if not _NETWORK.fullmatch(at.text(network)):
            raise at.error(f"{describe(network)} cannot be the name of a network", "such as none, host, bridge")
    # Neither infinite nor no number at all: it is to become bytes.
    if shm_gb is not None and (
        isinstance(shm_gb, bool) or not isinstance(shm_gb, int | float) or not 0 < shm_gb < _MOST_SHM_GB
    ):
        raise place.key("shm_gb").error(f"{describe(shm_gb)} is not a size", "a number of GiB, such as 16")
    return ContainerSettings(
        network=network, shm_gb=shm_gb, ulimits=_limits(values.get("ulimits"), place.key("ulimits"))
    )


def _limits(value: Any, place: Place) -> dict[str, int]:
    """Return the limits of a process by their names."""
    if not isinstance(value, dict | None):
        raise place.error(f"{describe(value)} is not a mapping", "such as {memlock: -1, nofile: 4096}")
    limits = place.mapping(value or {})
    for name, limit in limits.items():
        place.key(name).choice(name, _LIMITS, "limit")
        if isinstance(limit, bool) or not isinstance(limit, int) or not -1 <= limit <= _MOST_LIMIT:
            raise place.key(name).error(f"{describe(limit)} is not a limit", "a whole number; -1 for none")
    return limits


def _env(value: Any, place: Place) -> dict[str, str]:
    """Return the variables that a profile sets."""
    variables = place.mapping(value)
    for key, text in variables.items():
        at = place.key(key)
        if not _VARIABLE.fullmatch(key):
            raise at.error("not the name of a variable", "letters, digits and _ are allowed, no digit first")
        if looks_secret(key):
            raise at.error("looks like a secret; do not store one in a profile", "export it where you log in")
        if not isinstance(text, str) or "\0" in text:
            raise at.error(f"{describe(text)} is not text", "put quotes around it")
    return variables
