"""The runtime Charliecloud: it executes the command in an unpacked image, without a process in between."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import final

from launch.containers.runtimes.base import CommandCall, HostCommand, Runtime, RuntimeDiagnosis
from launch.containers.runtimes.environment import container_environment
from launch.containers.runtimes.image_file import check_mount, find_refusal, from_step, image_file
from launch.errors import LaunchError
from launch.specs.mount import outermost_first

# The file with the image's own variables, and the PATH for an image that sets no PATH.
ENVIRONMENT = "ch/environment"
_PATH = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The folders that ch-run always mounts from the machine: mounts inside them need no place in the image.
_SHARED = ("/dev", "/proc", "/sys", "/tmp")
_FATAL = r"ch-run\[\d+\]: error: (.+)"


@final
class Charliecloud(Runtime):
    """Executes commands by `ch-run` from a folder.

    With a SquashFS file ch-run would stay the parent process: it returns 0 or 1 for any exit code, and does not
    forward signals.
    """

    def wrap(self, call: CommandCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command line. A `$` in a variable stays as it is; the run's variables win over the image's.

        Raises:
            LaunchError: If the run has no image, or a path cannot be mounted.
        """
        image = image_file(call)
        known, later = from_step(call, container_environment(call, surroundings))
        own = {name: surroundings[name] for name in ("PATH", "HOME", "USER", "LANG") if name in surroundings}
        mounts = [check_mount(mount, "charliecloud") for mount in outermost_first(call.mounts)]
        return HostCommand(
            command=(
                *("ch-run", "--env-no-expand", *([] if later else ["--unset-env=*"]), f"--set-env=PATH={_PATH}"),
                "--set-env",
                *(f"--set-env={name}={value}" for name, value in known.items()),
                *(f"--bind={mount.source}:{mount.target}" for mount in mounts),  # it cannot mount read-only
                f"--cd={call.folder}",
                image,
                "--",
                *call.command,
            ),
            environment={"USER": _user(), **own, **later},  # without $USER it fails
        )

    def diagnose(self, code: int, log: str) -> RuntimeDiagnosis | None:
        """Return why the command was not started; None if it was started."""
        return find_refusal(log, _FATAL, "charliecloud") if code == 1 else None

    def prepare(self, call: CommandCall) -> None:
        """Make empty files and folders for the mounts in the image, since the image is read-only later.

        Raises:
            LaunchError: If the image is gone, or cannot be written.
        """
        image = Path(image_file(call))
        if not image.is_dir():
            raise LaunchError(
                f"{image}: the image is gone", hint="type the sweep's command again: it converts the image again"
            )
        try:
            for mount in outermost_first(call.mounts):
                if not f"{mount.target}/".startswith(tuple(f"{place}/" for place in _SHARED)):
                    _make_place(image, mount.target, folder=stat.S_ISDIR(os.stat(mount.source).st_mode))
            _make_place(image, f"/{ENVIRONMENT}", folder=False)
        except OSError as error:
            raise LaunchError(
                f"{error.filename}: {error.strerror}: a mount has no place in the image, and it cannot be made",
                hint="make it there, or let `launch image convert IMAGE --to dir` make an image of your own",
            ) from error


def _make_place(image: Path, target: str, *, folder: bool) -> None:
    """Make an empty folder or file inside an image."""
    place = image / target.lstrip("/")
    if place.exists():
        return
    # A symbolic link in the image may lead out of the image; the host's folders must not be written.
    above = next(parent for parent in place.parents if os.path.lexists(parent)).resolve()
    if not above.is_relative_to(image.resolve()):
        raise LaunchError(f"{target}: a link in the image {image} leads out of it", hint="mount it at another place")
    if folder:
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _user() -> str:
    import pwd  # only if the environment does not name the user, as under cron

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
