"""`launch retry`: starts failed, cancelled and lost runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.sweep import add_image_arguments
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch retry mnist5k                          what failed, was cancelled or was lost
launch retry mnist5k --failed --detach        only what failed, in the background
launch retry mnist5k --earlier                what the sweep file has no longer, and did not succeed
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's name or its file")
    parser.add_argument("--failed", action="store_true", help="only what failed, not what was cancelled or lost")
    parser.add_argument(
        "--earlier",
        action="store_true",
        help="only what earlier submissions left, also what was interrupted or not started",
    )
    parser.add_argument("--on", metavar="PROFILE", help="where to run (default: as submitted)")
    parser.add_argument("--runtime", metavar="RUNTIME", help="the runtime, such as docker (default: as submitted)")
    add_image_arguments(parser, default="as submitted")
    parser.add_argument("--detach", action="store_true", help="run in the background and return at once")
    parser.description = (
        "Run again what failed, was cancelled or was lost. A run resumes from its last checkpoint if it has one; "
        "its earlier attempts stay. What has succeeded is left alone. If the sweep was interrupted, edited and "
        "submitted again, its command does not continue the runs of before the edit: --earlier does."
    )


def execute(args: argparse.Namespace) -> int:
    """Submit the runs in a new generation of the manifest, and wait for their end unless `--detach` is given."""
    from launch.actions.retry import retry
    from launch.actions.targets import sweep_name
    from launch.cli.location import open_location, resume_commands
    from launch.cli.start import container_options, start
    from launch.cli.status import advise
    from launch.profiles.profile import load_profile

    store = open_location(args, moves=args.sweep)
    name = sweep_name(store, args.sweep)
    profile = None if args.on is None else load_profile(args.on)
    submission = retry(
        store, name, profile, failed_only=args.failed, earlier=args.earlier, options=container_options(args)
    )
    for warning in submission.warnings:
        console.warn(warning)
    if not submission.views:
        console.note(f"{name}: nothing to retry")
        advise(name, submission.state.views(), manifest=submission.state.manifest)
        return ExitCode.OK
    # The sweep's own command resumes an interrupted retry; a second retry would also restart runs that failed again.
    commands = resume_commands(submission.state.manifest, (view.run_id for view in submission.views))
    return start(submission, detach=args.detach, command="` and `".join(commands))
