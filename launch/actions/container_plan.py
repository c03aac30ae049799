"""The containers of runs: their image, and the folders of the host that they see. First planned, then prepared."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from launch.actions.container_mounts import check_mounts, needed_mounts, refuse_hidden, requested_mounts
from launch.containers.runtimes.image_file import check_mount
from launch.errors import ExitCode, LaunchError, collect_errors, raise_all
from launch.profiles.profile import Profile, check_word
from launch.specs.choices import ENGINES, PROGRAMS, BackendName
from launch.specs.container import ContainerSettings
from launch.specs.image import Image
from launch.specs.mount import Mount, outermost_first
from s5.run_dir.result import CONFIG

if TYPE_CHECKING:
    from launch.store.records import ManifestEntry, ManifestHeader
    from launch.store.sweep_state import SweepState


@final
@dataclass(frozen=True, kw_only=True)
class ContainerOptions:
    """The container options of one submission; they override the profile.

    Attributes:
        runtime: The runtime, such as `docker`; None for the profile's.
        image: The image; None for the profile's.
        mounts: Folders of the host for the runs besides the profile's mounts: `SRC[:DST][:rw]` each.
        say: Called with a line about the progress of a conversion.
    """

    runtime: str | None = None
    image: str | None = None
    mounts: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=lambda _: None, compare=False)


@final
@dataclass(frozen=True, kw_only=True)
class ContainerPlan:
    """The plan of the containers of runs. Nothing is made before `prepare`.

    Attributes:
        runtime: The runtime, such as `docker`.
        image: The image, whose file may not exist yet; None under `bare`, or if it was not found.
        mounts: Folders of the host that the runs see besides their own folders and the snapshot.
        container: The settings for the containers of an engine.
        caches: Folders among the mounts that must be made if they are missing.
        warnings: What the user should know, one line each.
        obstacles: The errors that keep the runs from starting.
        convert: Converts the image to the file that the runtime executes; None if it executes no file.
    """

    runtime: str
    image: Image | None = None
    mounts: tuple[Mount, ...] = ()
    container: ContainerSettings = field(default_factory=ContainerSettings)
    caches: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    obstacles: tuple[LaunchError, ...] = ()
    convert: Callable[[], Image] | None = field(default=None, repr=False, compare=False)

    def prepare(self) -> ContainerPlan:
        """Make the caches, convert the image if necessary, and return the plan with the image that exists now.

        Raises:
            LaunchError: If there are obstacles, or the image cannot be converted.
        """
        raise_all(self.obstacles)
        for folder in self.caches:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LaunchError(f"{folder}: {error.strerror}", hint="name another cache with S5_CACHE") from error
        return self if self.convert is None else replace(self, image=self.convert(), convert=None)

    def on(self, header: ManifestHeader) -> ManifestHeader:
        """Return the header of a generation with this plan's runtime, image and mounts."""
        return replace(header, runtime=self.runtime, image=self.image, mounts=self.mounts, container=self.container)


def plan_containers(
    options: ContainerOptions, profile: Profile, configs: Iterable[Mapping[str, Any]], root: Path, *, gpus: bool
) -> ContainerPlan:
    """Find the image of runs, and check the folders of the host that they will see. Changes nothing.

    Args:
        options: The options that override the profile.
        profile: The profile that the runs execute with.
        configs: The runs' configurations as nested plain values; they name the data.
        root: The folder of all run directories.
        gpus: Whether any run asks for GPUs.

    Returns:
        The plan. Errors are not raised but are among its obstacles.
    """
    runtime = options.runtime or profile.runtime
    obstacles: list[LaunchError] = []
    with collect_errors(obstacles):
        check_word("runtime", runtime)
    if runtime == "bare" and (options.image is not None or options.mounts):
        option = "--mount" if options.image is None else "--image"
        message = f"{option}: the runtime bare executes on the host itself"
        hint = f"choose a runtime with --runtime: {', '.join(PROGRAMS)}"
        obstacles.append(LaunchError(message, hint=hint))
    if runtime == "bare" or obstacles:
        return ContainerPlan(runtime=runtime, obstacles=tuple(obstacles))
    requested: list[Mount] = []
    warnings: list[str] = []
    with collect_errors(obstacles):
        requested, warnings = check_mounts(requested_mounts(options.mounts, profile), root, profile, runtime)
    image, convert = _find_image(options, profile, root, obstacles, gpus=gpus)
    needed: list[Mount] = []
    caches: list[Path] = []
    with collect_errors(obstacles):
        needed, caches = needed_mounts(configs)
    with collect_errors(obstacles):
        refuse_hidden(requested, needed)
    taken = {mount.target for mount in requested}
    mounts = outermost_first([*(mount for mount in needed if mount.target not in taken), *requested])
    runs = str(root.absolute())  # it contains the runs' own folders
    for mount in (Mount(source=runs, target=runs), *mounts):
        with collect_errors(obstacles):
            check_mount(mount, runtime)
    return ContainerPlan(
        runtime=runtime,
        image=image,
        mounts=mounts,
        container=profile.container,
        caches=tuple(caches),
        warnings=tuple(warnings),
        obstacles=tuple(obstacles),
        convert=convert,
    )


def _find_image(
    options: ContainerOptions, profile: Profile, root: Path, obstacles: list[LaunchError], *, gpus: bool
) -> tuple[Image | None, Callable[[], Image] | None]:
    """Return the image of runs, and a function that makes the file that the runtime executes.

    The function is None for an image of an engine. If no image is found, both are None, and an obstacle is added.
    """
    from launch.containers.engine.network import check_network  # most runs have no container
    from launch.containers.images.request import ImageRequest
    from launch.containers.images.resolve import resolve_image

    here, runtime = profile.backend == BackendName.LOCAL, options.runtime or profile.runtime
    if here and profile.container.network is not None and runtime in ENGINES:
        with collect_errors(obstacles), _named_in(profile, "network"):
            check_network(profile.container.network, runtime)
    word = profile.image if options.image is None else options.image
    named_in = profile if options.image is None and profile.image is not None else None

    def find(*, convert: bool) -> Image:
        with _named_in(named_in, "image"):
            return resolve_image(
                ImageRequest(
                    word=word, runtime=runtime, gpus=gpus, runs_root=root, convert=convert, here=here, say=options.say
                )
            )

    with collect_errors(obstacles):
        image = find(convert=False)
        return image, None if image.file is None else lambda: find(convert=True)
    return None, None


@contextmanager
def _named_in(profile: Profile | None, key: str) -> Generator[None, None, None]:
    """Put a profile's file and key in front of an error about the key's value; `profile` is None for other values."""
    try:
        yield
    except LaunchError as error:
        if profile is None or profile.file is None or error.exit_code is not ExitCode.USAGE:
            raise
        raise LaunchError(f"{profile.file}: {key}: {error.message}", hint=error.hint) from error


def plan_containers_of_sweep(
    state: SweepState,
    options: ContainerOptions,
    profile: Profile,
    configs: Sequence[Mapping[str, Any]],
    left: Sequence[ManifestEntry],
) -> ContainerPlan:
    """Plan the containers of a sweep; see `plan_containers`. `left` are the runs without a result."""
    runtime = options.runtime or profile.runtime
    manifest = state.manifest
    if not left and manifest.headers and manifest.newest_header().runtime == runtime:
        header = manifest.newest_header()  # all runs are done: nothing needs the image
        return ContainerPlan(runtime=runtime, image=header.image, mounts=header.mounts, container=header.container)
    gpus = any(entry.resources.gpus_per_node for entry in left)
    return plan_containers(options, profile, configs, Path(state.folder).parent, gpus=gpus)


def plan_containers_for_retry(
    state: SweepState, options: ContainerOptions, profile: Profile, entries: Sequence[ManifestEntry], *, moved: bool
) -> ContainerPlan:
    """Plan the containers of runs that are retried: the same as before, unless the options or the profile differ.

    `moved` is whether the profile differs from the earlier one.
    """
    header = state.manifest.newest_header()
    runtime = options.runtime or (profile.runtime if moved else header.runtime)
    image = options.image
    if image is None and not moved and header.image is not None:
        image = header.image.name
    gpus = any(entry.resources.gpus_per_node for entry in entries)
    folder = Path(state.folder)
    configs = [] if runtime == "bare" else [_read_config(folder / entry.run_id / CONFIG) for entry in entries]
    return plan_containers(replace(options, runtime=runtime, image=image), profile, configs, folder.parent, gpus=gpus)


def _read_config(file: Path) -> Mapping[str, Any]:
    """Return the stored configuration of a run; empty if it cannot be read."""
    from launch.yaml_file import Place, read_yaml

    try:
        return read_yaml(file, Place(str(file)))
    except LaunchError:
        return {}
