"""`launch shell`: opens a shell in the container that runs execute in, with the runs' mounts."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.parser import whole
from launch.errors import LaunchError
from launch.specs.choices import PROGRAMS
from launch.specs.environment import clean_environment

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser
    from launch.profiles.profile import Profile
    from launch.specs.mount import Mount

EXAMPLES = """
launch shell                                  the image cpu, in the first runtime that is here
launch shell cuda12 --gpus 1 -- python -c 'import jax; print(jax.devices())'
launch shell --on cluster -- python -m s5 --help
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.takes_command = True
    parser.add_argument(
        "image", metavar="IMAGE", nargs="?", help="a name, REPO@sha256:…, a file (default: as for a sweep)"
    )
    parser.add_argument(
        "--on", metavar="PROFILE", default="local", help="the profile with the mounts and settings (default: local)"
    )
    parser.add_argument(
        "--runtime",
        metavar="RUNTIME",
        help="the container runtime (default: the profile's; if that is bare, the first one installed here)",
    )
    parser.add_argument(
        "--mount", metavar="SRC[:DST][:rw]", action="append", default=[], help="a file or folder to mount in it"
    )
    parser.add_argument(
        "--gpus", metavar="N", type=whole, default=0, help="how many GPUs the container sees (default: 0)"
    )
    parser.epilog = f"the command after -- is executed instead of bash\n\n{parser.epilog}"


def execute(args: argparse.Namespace) -> int:
    """Replace this process by the command that starts the container."""
    from launch.actions.container_plan import ContainerOptions, plan_containers
    from launch.actions.targets import open_store
    from launch.containers.runtimes import CommandCall, find_runtime
    from launch.containers.runtimes.request import ATTEMPT_LABEL, FOLDER_LABEL, RUN_LABEL
    from launch.profiles.profile import load_profile
    from launch.specs.resources import Resources
    from launch.store.snapshot import OWN_CODE

    profile = load_profile(args.on)
    root = open_store(args.runs or profile.runs_dir).root.absolute()
    runtime = args.runtime or _runtime_of(profile)
    options = ContainerOptions(runtime=runtime, image=args.image, mounts=tuple(args.mount), say=console.note)
    # The shell always executes on this machine, even if the profile's runs do not.
    found = plan_containers(options, replace(profile, backend="local"), [{}], root, gpus=args.gpus > 0).prepare()
    for warning in found.warnings:
        console.warn(warning)
    if found.image is None:
        raise LaunchError("the runtime bare has no container to open", hint=f"name one of {', '.join(PROGRAMS)}")
    own = f"{os.getpid()}"
    call = CommandCall(
        command=tuple(args.command) or ("bash",),
        variables={} if args.gpus else {"CUDA_VISIBLE_DEVICES": ""},
        folder=os.getcwd(),
        snapshot=str(OWN_CODE),  # the working tree itself, not a copy
        resources=Resources(gpus_per_node=args.gpus),
        image=found.image,
        mounts=_mounts(found.mounts, root),
        labels={RUN_LABEL: "shell", ATTEMPT_LABEL: own, FOLDER_LABEL: f"shell-{own}"},
        container=found.container,
    )
    surroundings = clean_environment({**os.environ, **profile.variables})
    host = find_runtime(runtime).shell(call, surroundings, terminal=sys.stdin.isatty())
    try:
        os.execvpe(host.command[0], host.command, dict(host.environment))
    except OSError as error:
        raise LaunchError(f"{host.command[0]}: {error.strerror}", hint="`launch doctor` lists what is here") from error


def _runtime_of(profile: Profile) -> str:
    """Return the profile's runtime; if that is `bare`, return the first runtime that is installed."""
    if profile.runtime != "bare":
        return profile.runtime
    here = next((name for name, program in PROGRAMS.items() if shutil.which(program)), None)
    if here is None:
        raise LaunchError(
            f"nothing here executes images: none of {', '.join(PROGRAMS.values())} is on the PATH",
            hint="`launch doctor` says what to install",
        )
    return here


def _mounts(found: tuple[Mount, ...], root: Path) -> tuple[Mount, ...]:
    """Return the mounts of a run, and mounts of the folder of all runs, the code and the working folder."""
    from launch.specs.mount import Mount
    from launch.store.snapshot import OWN_CODE

    folders = {str(OWN_CODE): False, os.getcwd(): True, **({str(root): True} if root.is_dir() else {})}
    taken = {mount.target for mount in found}
    own = [Mount(source=path, target=path, writable=rw) for path, rw in folders.items() if path not in taken]
    return (*own, *found)
