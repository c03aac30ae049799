"""Read the profile of a machine or a cluster, which says where and how runs execute."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from launch.errors import LaunchError, ProfileError, did_you_mean, printable, unknown
from launch.grammar import looks_secret
from launch.profiles.folders import PROFILE_NAME, profile_files, profile_folders
from launch.profiles.slurm import SLURM_KEYS, SlurmSettings, check_no_resources, read_slurm_settings
from launch.specs.choices import BACKENDS, ENGINES, RUNTIMES, BackendName, RuntimeName
from launch.specs.container import PASS_VARIABLE, ContainerSettings
from launch.specs.mount import Mount, parse_mount
from launch.yaml_file import Place, describe, read_yaml

_CONTAINER_KEYS = ("network", "shm_gb", "ulimits")
_MOUNT_FORM = "SRC[:DST][:rw], such as ~/corpora:/corpora"
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # only the engine knows which networks exist
# The limits of getrlimit, with the names that both engines use.
_LIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio"),
    *("rttime", "sigpending", "stack"),
)
_MOST_SHM_GB = 1e6
_MOST_LIMIT = 2**63 - 1
_SHARED_KEYS = ("runs_dir", "env", "image", "mounts", *_CONTAINER_KEYS)
_LOCAL_KEYS = ("backend", "runtime", "slots", "slots_per_gpu", *_SHARED_KEYS)
_SLURM_KEYS = ("backend", "runtime", *_SHARED_KEYS, *SLURM_KEYS)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The settings of one machine or cluster.

    Attributes:
        name: The name of the profile.
        backend: The scheduler of the runs: `local` or `slurm`.
        runtime: The runtime of the commands: `bare`, or one that executes them in containers.
        image: The image in which runs execute; None for the default image for CPUs or GPUs.
        mounts: Files of the host that runs see, besides their own folders, code, data and caches.
        container: The settings of containers under an engine.
        slots: The number of runs at once on this machine; None for as many as its cores or GPUs allow.
        slots_per_gpu: The number of runs that share one GPU.
        runs_dir: The folder of all run directories; None for `$LAUNCH_RUNS`, else `./runs`.
        env: Variables that are set for every run; no secrets.
        site: The settings of the Slurm cluster.
        file: The path of the profile's file, for messages; None without a file.
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

    def __repr__(self) -> str:
        """Return the settings that differ from the defaults."""
        words = [repr(self.name), *(f"{key}={value!r}" for key, value in _changed(self) if key not in ("name", "site"))]
        return f"Profile({', '.join([*words, *(f'{key}={value!r}' for key, value in _changed(self.site))])})"

    @property
    def variables(self) -> dict[str, str]:
        """The variables for the environment of a supervisor: `env`, and a variable that lists the names in `env`."""
        return {**self.env, PASS_VARIABLE: ",".join(self.env)} if self.env else {}


def _changed(settings: Profile | SlurmSettings) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of the settings that differ from their defaults."""
    for one in fields(settings):
        value = getattr(settings, one.name)
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if value != default:
            yield one.name, str(value) if isinstance(value, StrEnum) else value


def profile_names(folders: Sequence[Path] | None = None) -> list[str]:
    """Return the names of all profiles, `local` first."""
    found = {path.stem for folder in folders or profile_folders() for path in profile_files(folder)}
    return ["local", *sorted(found - {"local"})]


def load_profile(name: str = "local", folders: Sequence[Path] | None = None) -> Profile:
    """Return a profile by its name.

    Args:
        name: `local`, which needs no file, or the name of a file without `.yaml`.
        folders: The folders to search, in this order; None for `profile_folders()`.

    Raises:
        LaunchError: If the profile does not exist or is not valid.
    """
    folders = folders or profile_folders()
    if PROFILE_NAME.fullmatch(name):
        for folder in folders:
            path = folder / f"{name}.yaml"
            if os.path.isfile(path):  # False also if another user has closed the folder
                return _read(name, path)
        if name == "local":
            return Profile(name=name)
    known = profile_names(folders)
    closed = [f for f in folders if os.path.isdir(f) and not os.access(f, os.R_OK | os.X_OK)]
    unread = "".join(f"; you may not read {printable(os.fspath(folder))}" for folder in closed)
    message = f"there is no profile {printable(name)!r}{did_you_mean(name, known)}{unread}"
    # In the repository both `slurm` folders are the same.
    places = {os.path.realpath(folder): os.path.normpath(folder) for folder in reversed(folders)}
    where = ", ".join(map(printable, reversed(places.values())))
    raise LaunchError(message, hint=f"the profiles are {', '.join(known)}; a new one is a file NAME.yaml in {where}")


def check_word(kind: str, word: Any, place: Place | None = None) -> str:
    """Return `word` if it is a known `backend` or `runtime` (`kind`), else raise, with `place` if it is given."""
    allowed = {"backend": BACKENDS, "runtime": RUNTIMES}[kind]
    if place is not None:
        return place.choice(word, allowed, kind, "this version has")
    if word not in allowed:
        raise LaunchError(unknown(kind, word, allowed), hint=f"this version has {', '.join(allowed)}")
    return word


def _read(name: str, path: Path) -> Profile:
    place = Place(printable(str(path)), kind=ProfileError)
    values = read_yaml(path, place)
    # Check these before the keys: a profile for a backend of a later version also has unknown keys.
    for kind in ("backend", "runtime"):
        if kind in values:
            check_word(kind, values[kind], place.key(kind))
    backend = BackendName(values.get("backend", BackendName.LOCAL))
    if "backend" not in values and (meant := next((key for key in values if key in SLURM_KEYS), None)):
        raise place.key(meant).error("this is for a cluster, and the profile names no backend", "add `backend: slurm`")
    check_no_resources(values, place)
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
    """Return a profile's mounts, from a list of `SRC[:DST][:rw]` or a mapping of SRC to `DST[:rw]`."""
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
    """Return a profile's settings of containers."""
    said = next((key for key in _CONTAINER_KEYS if key in values), None)
    if said is not None and values.get("runtime", "bare") not in ("bare", *ENGINES):  # `--runtime` names another
        raise place.key(said).error("only an engine can apply this", f"set runtime: {' or '.join(ENGINES)}")
    network, shm_gb = values.get("network"), values.get("shm_gb")
    if network is not None:
        at = place.key("network")
        if not _NETWORK.fullmatch(at.text(network)):
            raise at.error(f"{describe(network)} cannot be the name of a network", "such as none, host, bridge")
    # Infinity and NaN are not allowed, since the size is converted to bytes.
    if shm_gb is not None and (
        isinstance(shm_gb, bool) or not isinstance(shm_gb, int | float) or not 0 < shm_gb < _MOST_SHM_GB
    ):
        raise place.key("shm_gb").error(f"{describe(shm_gb)} is not a size", "a number of GiB, such as 16")
    return ContainerSettings(
        network=network, shm_gb=shm_gb, ulimits=_limits(values.get("ulimits"), place.key("ulimits"))
    )


def _limits(value: Any, place: Place) -> dict[str, int]:
    """Return the limits of a process, by name."""
    if not isinstance(value, dict | None):
        raise place.error(f"{describe(value)} is not a mapping", "such as {memlock: -1, nofile: 4096}")
    limits = place.mapping(value or {})
    for name, limit in limits.items():
        place.key(name).choice(name, _LIMITS, "limit")
        if isinstance(limit, bool) or not isinstance(limit, int) or not -1 <= limit <= _MOST_LIMIT:
            raise place.key(name).error(f"{describe(limit)} is not a limit", "a whole number; -1 for none")
    return limits


def _env(value: Any, place: Place) -> dict[str, str]:
    """Return the variables that a profile sets; raise if one looks like a secret."""
    variables = place.mapping(value)
    for key, text in variables.items():
        at = place.key(key)
        if not _VARIABLE.fullmatch(key):
            raise at.error("not the name of a variable", "letters, digits and _ are allowed, no digit first")
        if key.startswith("SBATCH_"):
            raise at.error("an option of sbatch changes nothing in a run", "the profile's keys say what sbatch gets")
        if looks_secret(key):
            raise at.error("looks like a secret; do not store one in a profile", "export it where you log in")
        if not isinstance(text, str) or "\0" in text:
            raise at.error(f"{describe(text)} is not text", "put quotes around it")
    return variables
