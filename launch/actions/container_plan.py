"""What the runs of a submission execute in: their image, and what of the host they see. Found before any starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from launch.containers.runtimes.image_file import check_mount
from launch.errors import ExitCode, LaunchError
from launch.profiles.profile import Profile, check_word
from launch.specs.container import ContainerSettings
from launch.specs.image import Image
from launch.specs.mount import Mount, lies_in, outermost_first, parse_mount
from launch.store.files import CONFIG
from launch.store.records import ManifestEntry, ManifestHeader
from launch.store.store import SweepStore
from s5.catalog import CATALOG, cache_folder, data_root

# Where JAX keeps compiled programs too, so that the runs of a sweep share them.
_CACHE = "s5-launch"


def _silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class ContainerOptions:
    """What was asked for on the command line, over the profile.

    Attributes:
        runtime: What wraps the command; None for the profile's.
        image: The image; None for the profile's.
        mounts: What runs see of the host, beside the profile's: `SRC[:DST][:rw]` each.
        say: Told about the progress of a conversion, a line at a time.
    """

    runtime: str | None = None
    image: str | None = None
    mounts: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=_silent, compare=False)


@dataclass(frozen=True, kw_only=True)
class ContainerPlan:
    """What runs execute in.

    Attributes:
        runtime: What wraps their commands.
        image: Their image; None under `bare`.
        mounts: What of the host they see beside their own folders and the snapshot.
        container: How an engine sets their containers up.
        warnings: What the user should know, one line each.
        obstacles: What would keep the runs of a dry run from starting.
    """

    runtime: str
    image: Image | None = None
    mounts: tuple[Mount, ...] = ()
    container: ContainerSettings = field(default_factory=ContainerSettings)
    warnings: tuple[str, ...] = ()
    obstacles: tuple[LaunchError, ...] = ()

    def on(self, header: ManifestHeader) -> ManifestHeader:
        """Return the first line of a generation that executes in this."""
        return replace(header, runtime=self.runtime, image=self.image, mounts=self.mounts, container=self.container)


def plan_containers(
    choice: ContainerOptions,
    profile: Profile,
    configs: Iterable[Mapping[str, Any]],
    root: Path,
    *,
    gpus: bool,
    dry: bool = False,
) -> ContainerPlan:
    """Find the image of runs, and check everything that they are to see of the host.

    Args:
        choice: What was asked for on the command line.
        profile: What else is said.
        configs: The runs' configurations as nested plain values; they name the data.
        root: The folder of all run directories.
        gpus: Whether any of them asks for GPUs.
        dry: Whether to change nothing: neither to convert an image nor to make a folder. What keeps the runs from
            starting is then among the obstacles, not raised.

    Raises:
        LaunchError: If there is no such image or runtime, or something that is to be mounted is not there.
    """
    runtime = choice.runtime or profile.runtime
    if runtime == "bare":
        _refuse_container_options(choice)
        return ContainerPlan(runtime=runtime)
    check_word("runtime", runtime)
    obstacles: list[LaunchError] = []
    more: list[Mount] = []
    warnings: list[str] = []
    with _told(obstacles, dry=dry):
        more, warnings = _checked(_asked(choice, profile), root, profile, runtime)
    image = _find_image(choice, profile, root, obstacles, gpus=gpus, dry=dry)
    own = _own_mounts(configs, make=not dry)
    with _told(obstacles, dry=dry):
        _refuse_hidden(more, own)
    taken = {mount.target for mount in more}
    mounts = outermost_first([*(mount for mount in own if mount.target not in taken), *more])
    place = str(root.absolute())
    for mount in (Mount(source=place, target=place), *mounts):  # the runs' own folders lie in the first
        with _told(obstacles, dry=dry):
            check_mount(mount, runtime)
    return ContainerPlan(
        runtime=runtime,
        image=image,
        mounts=mounts,
        container=profile.container,
        warnings=tuple(warnings),
        obstacles=tuple(obstacles),
    )


def _refuse_container_options(choice: ContainerOptions) -> None:
    """Raise if an option asks for what only a container has."""
    if choice.image is not None or choice.mounts:
        raise LaunchError(
            f"{'--mount' if choice.image is None else '--image'}: the runtime bare executes on the host itself",
            hint="name another with --runtime: docker, podman, apptainer, charliecloud",
        )


def _find_image(
    choice: ContainerOptions, profile: Profile, root: Path, obstacles: list[LaunchError], *, gpus: bool, dry: bool
) -> Image | None:
    """Return the image of runs; None if something is in the way of a dry run."""
    from launch.containers.engine.network import check_network  # most runs have no container
    from launch.containers.images.resolve import resolve_image
    from launch.specs.choices import ENGINES

    here, runtime = profile.backend == "local", choice.runtime or profile.runtime
    if here and profile.container.network is not None and runtime in ENGINES:
        with _told(obstacles, dry=dry), _said_in(profile, "network"):
            check_network(profile.container.network, runtime)
    word = profile.image if choice.image is None else choice.image
    said = profile if choice.image is None and profile.image is not None else None
    with _told(obstacles, dry=dry), _said_in(said, "image"):
        return resolve_image(word, runtime, gpus=gpus, runs_root=root, convert=not dry, here=here, say=choice.say)
    return None


@contextmanager
def _told(obstacles: list[LaunchError], *, dry: bool) -> Generator[None, None, None]:
    """Collect what is in the way of a dry run, which shows all of it at once."""
    try:
        yield
    except LaunchError as error:
        if not dry:
            raise
        obstacles.append(error)


@contextmanager
def _said_in(profile: Profile | None, key: str) -> Generator[None, None, None]:
    """Name the profile's file and the key in what is wrong with what it asks for; None where it does not ask."""
    try:
        yield
    except LaunchError as error:
        if profile is None or profile.file is None or error.exit_code is not ExitCode.USAGE:
            raise
        raise LaunchError(f"{profile.file}: {key}: {error.message}", hint=error.hint) from error


def _asked(choice: ContainerOptions, profile: Profile) -> list[tuple[str, Mount]]:
    """Return the mounts that a person asked for, each with where it was said."""
    asked = [(f"{profile.file or profile.name}: mounts", mount) for mount in profile.mounts]
    for word in choice.mounts:
        try:
            asked.append(("--mount", parse_mount(word)))
        except ValueError as error:
            raise LaunchError(f"--mount {word}: {error}", hint="SRC[:DST][:rw], such as ~/corpora:/corpora") from error
    return asked


def _checked(
    asked: list[tuple[str, Mount]], root: Path, profile: Profile, runtime: str
) -> tuple[list[Mount], list[str]]:
    """Return the mounts if they are there and in nobody's way, and remarks."""
    found: dict[str, Mount] = {}
    warnings: list[str] = []
    own = str(root.absolute())
    for where, mount in asked:
        message = f"{where}: {mount.source}: no such file or folder"
        if not os.path.exists(mount.source):
            if profile.backend == "local":
                raise LaunchError(message, hint="make it, or leave it out; it would be mounted at " + mount.target)
            warnings.append(f"{message} on this machine; the nodes of {profile.name} must have it")
        if runtime == "charliecloud" and not mount.writable:
            warnings.append(
                f"{where}: {mount.source} can be written in the container: charliecloud has no other mounts"
            )
        taken = found.setdefault(mount.target, mount)
        if taken != mount:
            raise LaunchError(
                f"{where}: {mount.source} and {taken.source} are both to be mounted at {mount.target}",
                hint="give one of them another place: SRC:DST",
            )
        if mount.source != mount.target and (lies_in(mount.target, own) or lies_in(own, mount.target)):
            raise LaunchError(f"{where}: {mount.target} is where the runs lie", hint="mount it at another place")
    return list(found.values()), warnings


def _refuse_hidden(asked: Iterable[Mount], own: Sequence[Mount]) -> None:
    """Refuse mounts in the place of what every run needs, and those for which another one has no place.

    Raises:
        LaunchError: Where a run would not find what it needs, or its runtime would not start it.
    """
    asked, hint = tuple(asked), "mount it at another place: SRC:DST"
    for mount in asked:
        if mount.source != mount.target and any(mount.target == other.target for other in own):
            raise LaunchError(f"{mount.source}: {mount.target} is where data or caches of the runs lie", hint=hint)
    for outer in (*own, *asked):
        for inner in (*own, *asked):
            if (outer in own and inner in own) or outer.target == inner.target or not os.path.isdir(outer.source):
                continue
            if not lies_in(inner.target, outer.target) or not os.path.exists(inner.source):
                continue
            place = os.path.join(outer.source, os.path.relpath(inner.target, outer.target))
            if os.path.isdir(place) != os.path.isdir(inner.source) or not os.path.exists(place):
                kind = "folder" if os.path.isdir(inner.source) else "file"
                message = f"{inner.source} is to be mounted at {inner.target}, inside {outer.source}"
                raise LaunchError(f"{message}: there is no {kind} {place}", hint=hint)


def _own_mounts(configs: Iterable[Mapping[str, Any]], *, make: bool) -> list[Mount]:
    """Return what every run needs: data, and caches that it may write. What is not there is left out."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / _CACHE
    caches, roots, systems = {base: None}, dict[Path, None](), dict[Path, None]()
    for config in configs:
        data: Mapping[str, Any] = config.get("data") or {}
        roots[data_root(data.get("root"))] = None
        caches[cache_folder(data.get("cache"))] = None
        for name in map(str, (data.get("name"), data.get("zero_shot"))):
            folders = CATALOG[name].system_folders if name in CATALOG else ()
            systems.update(dict.fromkeys(map(Path, folders)))
    for folder in caches if make else ():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LaunchError(f"{folder}: {error.strerror}", hint="name another cache with S5_CACHE") from error
    found = [Mount(source=str(folder), target=str(folder), writable=True) for folder in caches]
    for folder in (*roots, *systems):
        found += [_read_only(folder), *map(_read_only, _linked(folder))] if folder.is_dir() else []
    return list({mount.target: mount for mount in reversed(found)}.values())[::-1]


def _read_only(folder: Path) -> Mount:
    return Mount(source=str(folder), target=str(folder))


def _linked(folder: Path) -> list[Path]:
    """Return what the links in a folder of data lead to: inside they lead there too."""
    links = [child.resolve() for child in sorted(folder.iterdir()) if child.is_symlink()]
    return [place for place in links if place.exists() and not place.is_relative_to(folder)]


def plan_containers_of_stored_runs(
    own: SweepStore,
    choice: ContainerOptions,
    profile: Profile,
    configs: Sequence[Mapping[str, Any]],
    left: Sequence[ManifestEntry],
    *,
    dry: bool,
) -> ContainerPlan:
    """Find what the runs of a sweep execute in; see `contain`.

    Args:
        own: The sweep.
        choice: What was asked for on the command line.
        profile: What else is said.
        configs: The runs' configurations.
        left: Those of its runs that have no result.
        dry: Whether to change nothing. What keeps the runs from starting is then told, not raised.
    """
    runtime = choice.runtime or profile.runtime
    check_word("runtime", runtime)
    before = own.manifest().headers
    if not left and before and before[max(before)].runtime == runtime:
        header = before[max(before)]  # what is done asks for no image any more
        return ContainerPlan(runtime=runtime, image=header.image, mounts=header.mounts, container=header.container)
    gpus = any(entry.resources.gpus_per_node for entry in left)
    return plan_containers(choice, profile, configs, own.path.parent, gpus=gpus, dry=dry)


def plan_containers_for_retry(
    own: SweepStore,
    choice: ContainerOptions,
    profile: Profile,
    header: ManifestHeader,
    entries: Sequence[ManifestEntry],
    *,
    moved: bool,
) -> ContainerPlan:
    """Find what runs execute in that are to be tried again: what they did before, unless something else is asked for.

    Args:
        own: The sweep.
        choice: What was asked for on the command line.
        profile: Where they are to execute.
        header: With what they were submitted.
        entries: The runs.
        moved: Whether they are to execute elsewhere than before.
    """
    runtime = choice.runtime or (profile.runtime if moved else header.runtime)
    check_word("runtime", runtime)
    named = choice.image
    if named is None and not moved and header.image is not None:
        named = header.image.name
    gpus = any(entry.resources.gpus_per_node for entry in entries)
    configs = [] if runtime == "bare" else [_config(own.run_dir(entry.run_id)) for entry in entries]
    return plan_containers(replace(choice, runtime=runtime, image=named), profile, configs, own.path.parent, gpus=gpus)


def _config(run_dir: Path) -> Mapping[str, Any]:
    """Return the stored configuration of a run; empty where it cannot be read."""
    from launch.yaml_file import Place, read_yaml

    try:
        return read_yaml(run_dir / CONFIG, Place(str(run_dir / CONFIG)))
    except LaunchError:
        return {}
