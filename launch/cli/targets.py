"""What a person may type for a sweep or a run: a name, a file, an id, the beginning of one, a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import LaunchError, nearest
from launch.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from launch.store.store import SweepStore

REPAIR_HINT = "typing the sweep's command again mends it: what has run is found, and nothing runs twice"

_RUN_FILE = "run.json"


def open_store(runs: str | None) -> Store:
    """Return the store under `--runs`, or the default one."""
    from launch.backends.slurm.scheduler_view import read_queue

    return Store(None if runs is None else Path(runs), read_queue)


def open_sweep(word: str, runs: str | None) -> SweepStore:
    """Return the sweep that a person named.

    Args:
        word: Its name, or its file.
        runs: The option `--runs`.

    Returns:
        The sweep, which has at least one generation.

    Raises:
        LaunchError: Where there is none; the nearest name is shown.
    """
    store = open_store(runs)
    return store.sweep(sweep_name(store, word))


def sweep_name(store: Store, word: str) -> str:
    """Return the name of the sweep that `word` names: itself, or that of the sweep file it is.

    Raises:
        LaunchError: Where the store has no such sweep.
    """
    names = store.sweeps()
    if word in names:
        return word
    name = _name_in_file(Path(word)) if _looks_like_file(word) else word.rstrip("/")
    if name in names:
        return name
    if _looks_like_file(word) and not Path(word).exists():
        raise LaunchError(f"{word}: no such sweep file", hint=_sweeps_hint(names))
    if name in without_manifest(store):
        raise LaunchError(f"{store.root / name}: the sweep's manifest is missing", hint=REPAIR_HINT)
    for sweep, run_id in _runs_like(store, word):
        if run_id == word.rpartition("/")[2]:
            raise LaunchError(f"{word} is a run of the sweep {sweep}; a sweep is wanted", hint=f"its name is {sweep}")
    near = nearest(name, names)
    raise LaunchError(
        f"no sweep {name!r} under {store.root}" + (f"; did you mean {near}?" if near else ""), hint=_sweeps_hint(names)
    )


def find_run(store: Store, word: str) -> tuple[str, str]:
    """Return the sweep and the id of the run that a person named.

    Args:
        store: The run directories.
        word: A run id, the beginning of one, `SWEEP/RUN` with either, or a run's folder.

    Returns:
        Name of the sweep and run id.

    Raises:
        LaunchError: Where there is none, or more than one.
    """
    found = _runs_like(store, word)
    if len(found) == 1:
        return found[0]
    if not found:
        raise _no_run(store, word)
    # One recipe may be in two sweeps under the same id; then only the sweep tells them apart.
    shown = ", ".join("/".join(each) for each in found[:3]) + (" …" if len(found) > 3 else "")
    raise LaunchError(f"{word!r} is the beginning of {len(found)} runs: {shown}", hint="type more of it, or SWEEP/RUN")


def _runs_like(store: Store, word: str) -> list[tuple[str, str]]:
    folder = Path(word)
    if (folder / _RUN_FILE).is_file() and folder.resolve().parent.parent == store.root.resolve():
        return [(folder.resolve().parent.name, folder.resolve().name)]
    sweep, _, beginning = word.rpartition("/")
    sweeps = [sweep] if sweep else store.sweeps()
    runs = [(name, run_id) for name in sweeps for run_id in run_ids(store, name)]
    exact = [run for run in runs if run[1] == beginning]
    return exact or [run for run in runs if run[1].startswith(beginning)]


def run_ids(store: Store, sweep: str) -> list[str]:
    """Return the ids of a sweep's runs, sorted, without reading any of them."""
    try:
        with os.scandir(store.root / sweep) as entries:
            return sorted(e.name for e in entries if e.is_dir() and e.name != "manifest" and not e.name.startswith("."))
    except OSError:
        return []


def without_manifest(store: Store) -> list[str]:
    """Return the folders that hold runs and no manifest, which nothing but damage leaves behind."""
    known = set(store.sweeps())
    try:
        with os.scandir(store.root) as entries:
            names = sorted(e.name for e in entries if e.name[0] not in "._" and e.name not in known and e.is_dir())
    except OSError:
        return []
    return [name for name in names if _stored_runs(store.root / name)]


def damage(sweep: SweepStore) -> list[str]:
    """Return what of a sweep's manifest cannot be read, one line each; nothing where a newer generation made up for it.

    Args:
        sweep: The sweep, whose `views` or `manifest` have been read.
    """
    if not sweep.problems:
        return []
    manifest = sweep.manifest()
    mended = manifest.newest == max(sweep.generations(), default=0)
    return [] if mended and _stored_runs(sweep.path) <= manifest.listed.keys() else list(manifest.problems)


def warn_of_damage(sweeps: Iterable[SweepStore]) -> bool:
    """Tell on stderr what of the sweeps' manifests cannot be read; return whether there is anything."""
    problems = [problem for sweep in sweeps for problem in damage(sweep)]
    for problem in problems:
        console.warn(problem)
    if problems:
        console.hint(REPAIR_HINT)
    return bool(problems)


def warn_of_silence(sweeps: Iterable[SweepStore]) -> None:
    """Tell on stderr why what is shown of the sweeps may be old: their scheduler does not answer."""
    for trouble in dict.fromkeys(sweep.scheduler_error for sweep in sweeps):
        if trouble is not None:
            console.warn(f"{trouble}; shown is what the run directories say, and what the queue held when last asked")


def _stored_runs(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {e.name for e in entries if e.name[0] != "." and os.path.exists(f"{e.path}/{_RUN_FILE}")}
    except OSError:
        return set()


def _no_run(store: Store, word: str) -> LaunchError:
    sweeps = store.sweeps()
    if word in sweeps:
        return LaunchError(
            f"{word!r} is a sweep; a run is wanted", hint=f"`launch status {word}` lists the runs of the sweep"
        )
    runs = [run_id for name in sweeps for run_id in run_ids(store, name)]
    near = nearest(word.rpartition("/")[2], runs) if len(runs) <= 2_000 else None
    return LaunchError(
        f"no run {word!r} under {store.root}" + (f"; did you mean {near}?" if near else ""),
        hint="`launch status SWEEP` lists the runs of a sweep",
    )


def _looks_like_file(word: str) -> bool:
    return word.endswith((".yaml", ".yml"))


def _name_in_file(file: Path) -> str:
    """Return the name a sweep file gives itself; the file's own name where it gives none."""
    try:
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("name:"):
                import yaml  # only where the file names itself

                return str(yaml.safe_load(line)["name"])
    except (OSError, ValueError):
        pass
    return file.stem


def _sweeps_hint(names: list[str]) -> str:
    if not names:
        return "there are no sweeps yet; `launch sweep FILE` starts one, --runs names another folder"
    return f"the sweeps are {', '.join(names[:8])}" + (" …" if len(names) > 8 else "")


def find_target(store: Store, word: str) -> str:
    """Return what `word` names as `SWEEP` or `SWEEP/RUN`, whole.

    Raises:
        LaunchError: Where it names neither a sweep nor one run.
    """
    if word.rstrip("/") in store.sweeps() or _looks_like_file(word):
        return sweep_name(store, word)
    return "/".join(find_run(store, word))
