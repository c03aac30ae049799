"""The folder of the runs that a command is about, and the options that name it in hints."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from launch.actions.targets import find_target, open_store, other_places
from launch.cli import console
from launch.errors import LaunchError

if TYPE_CHECKING:
    import argparse

    from launch.store.manifest import Manifest
    from launch.store.store import Store


def open_location(args: argparse.Namespace, *, moves: str | None = None) -> Store:
    """Return the store that `--runs` names, or the `runs_dir` of the profile that `--on` names, or the default.

    From then on the commands in hints carry the option. If a word of the command line names a sweep or a run in this
    store and in the `runs_dir` of a profile, the user is told.

    Args:
        args: The options.
        moves: A sweep that `--on` moves to another profile: if the default store has it, that store is meant.
    """
    on: str | None = getattr(args, "on", None)
    default = open_store()
    if moves is not None and _has(default, moves):
        on = None
    folder: str | None = args.runs or None
    if folder is None and on is not None:
        from launch.profiles.profile import load_profile  # reading YAML is slow to load

        folder = load_profile(on).runs_dir
    store = open_store(folder)
    if store.root != default.root:
        words = ["--runs", args.runs] if args.runs else ["--on", on or ""]
        console.add_location(shlex.join(words), shlex.join(["--runs", str(folder)]))
    if not args.runs and on is None:
        for word in [w for name in ("sweep", "sweeps", "run", "targets") for w in _listed(getattr(args, name, None))]:
            _tell_of_others(store, word)
    return store


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _has(store: Store, word: str) -> bool:
    try:
        return bool(find_target(store, word))
    except LaunchError:
        return False


def _tell_of_others(store: Store, word: str) -> None:
    """Tell the user if a word names something here and elsewhere. If it names nothing here, the error will say so."""
    others = other_places(store, word)
    for place in others if others and _has(store, word) else ():
        console.note(f"{word} is also under {place.root}: {place.option} names that one")


def resume_command(manifest: Manifest | None) -> str:
    """Return the command that resumes a sweep: with the file and the profile that it was submitted with."""
    header = None if manifest is None else manifest.headers.get(manifest.newest)
    if header is None:
        return "launch sweep FILE"
    file = header.file if header.file is not None and Path(header.file).is_file() else "FILE"
    profile = [] if header.profile == "local" else ["--on", header.profile]
    return shlex.join(["launch", "sweep", file, *profile])
