"""`launch sweep`: executes every run of a sweep file that is left to do. The same command resumes a sweep."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import LaunchError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.cli.parser import Parser

EXAMPLES = """
launch sweep sweeps/quickstart.yaml
launch sweep sweeps/quickstart.yaml --dry-run
launch sweep sweeps/mnist5k.yaml train.epochs=20 --only '*sequential*-s0-*'
launch sweep sweeps/mnist5k.yaml --detach && launch watch mnist5k
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", metavar="FILE", help="the sweep file")
    add_submission_arguments(parser)
    parser.add_argument(
        "--only",
        metavar="GLOB",
        help="only runs whose id, experiment or a setting as KEY=VALUE matches, such as '*-s0-*'",
    )


def add_submission_arguments(parser: Parser) -> None:
    """Add the arguments that `launch sweep` and `launch run` share."""
    parser.add_argument(
        "overrides", metavar="key=value", nargs="*", default=[], help="settings to override, in Hydra's grammar"
    )
    parser.add_argument("--on", metavar="PROFILE", default="local", help="where to run (default: local)")
    parser.add_argument("--runtime", metavar="RUNTIME", help="the runtime, such as docker (default: the profile's)")
    parser.add_argument(
        "--plugins",
        metavar="PLUGIN",
        action="append",
        default=[],
        help="a folder or entry point with own data and models",
    )
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="use the results of runs of other sweeps with the same configuration and seed",
    )
    add_image_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--dry-run", action="store_true", help="show every run, its cost, and what is missing; write nothing"
    )
    how.add_argument("--plan-only", action="store_true", help="write the run directories and start nothing")
    how.add_argument("--detach", action="store_true", help="run in the background and return at once")


def add_image_arguments(parser: Parser, default: str = "the profile's; else cuda12 with GPUs, or cpu") -> None:
    """Add the options for the image in which commands execute, and for the mounts of the container."""
    parser.add_argument(
        "--image",
        metavar="IMAGE",
        help=f"the image: a name, REPO@sha256:…, a file (default: {default})",
    )
    parser.add_argument(
        "--mount",
        metavar="SRC[:DST][:rw]",
        action="append",
        default=[],
        help="a file or folder to mount in the containers, read-only without `:rw`",
    )


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise if both `seed` and `seeds` are given."""
    typed = {key: word for word in overrides if (key := word.partition("=")[0]) in ("seed", "seeds")}
    if len(typed) > 1:
        raise LaunchError(f"{typed['seed']} and {typed['seeds']} both set the seeds", hint="keep one of them")


def _refuse_experiment(args: argparse.Namespace) -> None:
    """Raise if the user typed the name of an experiment instead of a sweep file."""
    from launch.cli.start import command_again

    word = args.file
    if os.path.exists(word):
        return
    from s5.config.search_path import task_names

    if word in task_names():
        raise LaunchError(f"{word} is an experiment, not a sweep file", hint=f"`{command_again(args, 'run')}` runs it")


def execute(args: argparse.Namespace) -> int:
    """Load the sweep file, and submit its runs."""
    from launch.cli.start import plan_and_start
    from launch.sweepfile.sweep import load_sweep

    check_overrides(args.overrides)
    _refuse_experiment(args)
    sweep = load_sweep(Path(args.file), args.overrides)
    for warning in sweep.warnings:
        console.warn(warning)
    return plan_and_start(sweep, args, only=args.only)
