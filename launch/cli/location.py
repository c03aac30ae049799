"""The folder of the runs that a command is about, and the options that name it in hints."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from launch.actions.targets import find_target, open_store, other_places, profile_of
from launch.cli import console
from launch.errors import LaunchError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from launch.store.manifest import Manifest
    from launch.store.records import ManifestHeader
    from launch.store.store import Store


_MORE = "…"  # words that are not stored
_ON = re.compile(r" --on[ =]([^ ]+)")


@dataclass(frozen=True)
class _Location:
    """A folder of runs that is not the default, and how the user named it: the rule for the options of every hint."""

    store: Store
    default: Store
    on: str | None
    runs: str | None

    def complete(self, command: str) -> str:
        """Return a command with those of `--on` and `--runs` that the user typed and that it does not have yet."""
        if self.on is not None:
            command = _ON.sub(
                lambda found: found[0] if _exists(found[1]) else f" --on {shlex.quote(self.on or '')}", command
            )
        options = shlex.join(self._missing(command))
        return f"{command} {options}" if options else command

    def _missing(self, command: str) -> list[str]:
        runs = ["--runs", self.runs] if self.runs is not None else []
        if re.search(r" --runs\b", command):
            return []
        if self.on is None:
            return runs
        here = runs or ["--runs", str(self.store.root)]
        if named := _ON.search(command):  # the profile with which a sweep was submitted
            return runs if named[1] == shlex.quote(self.on) else here
        if not command.startswith("launch retry "):
            return ["--on", self.on, *runs]
        sweep = shlex.split(command)[2]
        own = profile_of(self.store.root / sweep)
        if own is not None and own != self.on and _exists(own):
            return here  # `--on` would move the runs to another profile than the one of the sweep
        if not _has(self.default, sweep):
            return ["--on", self.on, *runs]
        # `launch retry SWEEP --on PROFILE` would mean the sweep in the default folder.
        return here if own == self.on and not runs else ["--on", self.on, *here]


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
        console.complete_commands(_Location(store, default, None if on == "local" else on, args.runs or None).complete)
    if not args.runs and on is None:
        for word in [w for name in ("sweep", "sweeps", "run", "targets") for w in _listed(getattr(args, name, None))]:
            _tell_of_others(store, word)
    return store


def _exists(profile: str) -> bool:
    """Return whether this user has a profile: another user may have submitted a sweep with one of another name."""
    from launch.profiles.profile import profile_names

    return profile in profile_names()


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
    """Return the command that resumes a sweep: what was typed last, with the file and the profile.

    `…` stands for further words if an older version stored the sweep without them.
    """
    header = None if manifest is None else manifest.headers.get(manifest.newest)
    if manifest is None or header is None:
        return "launch sweep FILE"
    return _command(manifest, header, header.profile)


def resume_commands(manifest: Manifest, run_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the commands that resume runs, each with its runs, in the order of the runs.

    For most runs it is the command of the submission that lists them; earlier runs are resumed by a retry.
    """
    found: dict[str, list[str]] = {}
    for run_id, submission in _submissions(manifest, run_ids).items():
        one = manifest.listed[run_id]
        if manifest.is_earlier(run_id):
            command = f"launch retry {manifest.headers[one.generation].sweep} --earlier"
        elif submission in manifest.headers:
            newest = manifest.headers[max(submission, one.generation)]  # a retry may have moved the run
            command = _command(manifest, manifest.headers[submission], newest.profile)
        else:
            command = resume_command(manifest)
        found.setdefault(command, []).append(run_id)
    return found


def is_edited_since(manifest: Manifest, run_id: str) -> bool:
    """Return whether the sweep file of a run has changed since the submission that lists the run."""
    header = manifest.headers.get(_submissions(manifest, [run_id])[run_id])
    file = None if header is None else _sweep_file(header)
    try:
        return header is not None and file is not None and os.stat(file).st_mtime > header.created
    except OSError:
        return False


def _submissions(manifest: Manifest, run_ids: Iterable[str]) -> dict[str, int]:
    """Return the submission whose command resumes each run: the newest without `--only`, if that lists the run."""
    complete = manifest.last_complete
    of_file = frozenset(manifest.run_ids.get(complete, ()))
    return {run_id: complete if run_id in of_file else manifest.listed[run_id].submitted for run_id in run_ids}


def _command(manifest: Manifest, header: ManifestHeader, profile: str) -> str:
    """Return the command of a submission, with a profile."""
    options = [] if profile == "local" else ["--on", profile]
    if header.file is None and header.sweep.startswith("run-") and manifest.listed:
        first = next(iter(manifest.listed.values())).entry.experiment
        words = header.words or [first, _MORE]
        command = ["launch", "run", *words, *options]
    else:
        words = [_MORE] if header.words is None else header.words
        command = ["launch", "sweep", _sweep_file(header) or "FILE", *words, *options]
    return " ".join(word if word == _MORE else shlex.quote(word) for word in command)


def _sweep_file(header: ManifestHeader) -> str | None:
    """Return a sweep file by the name that the user typed, or by its full path if it is seen from another folder."""
    if header.file is None:
        return None
    names = [header.file] if header.folder is None else [header.file, str(Path(header.folder, header.file))]
    if header.folder not in (None, str(Path.cwd())):
        names.reverse()  # this folder may have another file of the name
    return next((name for name in names if os.path.isfile(name)), None)  # False also below a folder that is closed
