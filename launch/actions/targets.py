"""Find the sweep or run that the user's word names: a name, a file, a run id or its beginning, or a folder."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from launch.errors import LaunchError, StoreError, did_you_mean
from launch.store.damage import REPAIR_HINT, sweeps_without_manifest
from launch.store.manifest import generation_numbers, read_header
from launch.store.store import Store
from s5.run_dir.regular_file import read_written
from s5.run_dir.result import CONFIG, RUN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from launch.store.store import SweepStore

_MAX_COMPARED = 2_000  # with more run ids, finding the nearest one takes too long
_YAML = (".yaml", ".yml")


def open_store(root: str | os.PathLike[str] | None = None) -> Store:
    """Return the store in a folder (`$LAUNCH_RUNS` or `./runs` by default); its views include Slurm's answers."""
    from launch.backends.slurm.scheduler_view import read_queue

    return Store(None if root is None else Path(root), read_queue)


class OtherPlace(NamedTuple):
    """Another folder with runs, and the option of the command line that names it."""

    root: Path
    option: str  # such as `--on mycluster`


def other_places(store: Store, word: str | None) -> list[OtherPlace]:
    """Return the other folders of runs in which `word` names a sweep or a run: the default and the profiles' own.

    Several profiles may share a folder. The option names the profile with which the sweep was submitted, since
    `launch retry` would execute its runs with any other that is named. Without such a profile it names the folder.
    If `word` is None, the places are the folders that have any sweeps.
    """
    found = ((root, names, _sweeps_named(Store(root), word)) for root, names in _other_roots(store).items())
    return [
        OtherPlace(root, _option(root, names, None if word is None else sweeps))
        for root, names, sweeps in found
        if sweeps
    ]


def describe_other_places(store: Store, sweep: str) -> list[str]:
    """Return a warning for each other folder that has a sweep of this name: its runs are executed again here."""
    found = ((root, _option(root, names, [sweep])) for root, names in _other_roots(store).items() if _has(root, sweep))
    return [
        f"a sweep {sweep} is also under {root} (`{option}`); its results do not count under {store.root}"
        for root, option in found
    ]


def _other_roots(store: Store) -> dict[Path, list[str]]:
    """Return the other folders of runs, the default and the profiles' own, each with the profiles that name it."""
    from launch.profiles.folders import runs_dirs

    profiles: dict[Path, list[str]] = {open_store().root: []}
    for name, folder in runs_dirs().items():
        profiles.setdefault(Path(folder), []).append(name)
    profiles.pop(store.root, None)
    return profiles


def _has(root: Path, sweep: str) -> bool:
    """Return whether a folder of runs has a sweep of this name; the names of its runs are not read."""
    try:
        return sweep in Store(root).sweeps()
    except StoreError:
        return False


def _option(root: Path, profiles: Sequence[str], sweeps: Sequence[str] | None) -> str:
    """Return the option that names a folder of runs, and with it the profile of these sweeps, if they have the same."""
    used = set(profiles) if sweeps is None else {profile_of(root / sweep) for sweep in sweeps}
    name = used.pop() if len(used) == 1 else None
    if name is not None and name in profiles:
        return f"--on {shlex.quote(name)}"
    return f"--runs {shlex.quote(str(root))}"


def profile_of(sweep: Path) -> str | None:
    """Return the profile with which a sweep was last submitted; None if its manifest cannot be read."""
    try:
        numbers = generation_numbers(str(sweep))
        return read_header(str(sweep), max(numbers)).profile if numbers else None
    except StoreError:
        return None


def _sweeps_named(store: Store, word: str | None) -> list[str]:
    """Return the sweeps that a word names, or whose runs it names: without a word all, if not readable none."""
    try:
        names = store.sweeps()
        if word is None:
            return names
        name = _name_in_file(Path(word)) if word.endswith(_YAML) else word.rstrip("/")
        return [name] if name in names else [sweep for sweep, _ in _matching_runs(store, word)]
    except StoreError:
        return []


def _with_others(error: LaunchError, store: Store, word: str) -> LaunchError:
    """Return an error about a word that names nothing in a store; if other folders have it, the error says which."""
    others = other_places(store, word)
    if not others:
        return error
    where = " and ".join(str(place.root) for place in others)
    options = " or ".join(f"`{place.option}`" for place in others)
    return LaunchError(
        f"{error.message.partition('; did you')[0]}; it is under {where}",
        hint=f"add {options}",
        python_hint="pass " + " or ".join(f'`runs="{place.root}"`' for place in others),
    )


def find_sweep(store: Store, word: str) -> SweepStore:
    """Return the sweep that `word` names; raise if the store has no such sweep. See `sweep_name`."""
    return store.sweep(sweep_name(store, word))


def sweep_name(store: Store, word: str) -> str:
    """Return the name of the sweep that `word` names; for a sweep file, the name that the file gives.

    Raises:
        LaunchError: If the store has no such sweep; the message suggests the nearest name.
    """
    names = store.sweeps()
    if word in names:
        return word
    name = _name_in_file(Path(word)) if word.endswith(_YAML) else word.rstrip("/")
    if name in names:
        return name
    if word.endswith(_YAML) and not os.path.exists(word):
        raise LaunchError(f"{word}: no such sweep file", hint=_sweeps_hint(names))
    if name in sweeps_without_manifest(store):
        raise LaunchError(f"{store.root / name}: the sweep's manifest is missing", hint=REPAIR_HINT)
    for sweep, run_id in _matching_runs(store, word):
        if run_id == word.rpartition("/")[2]:
            raise LaunchError(f"{word} is a run of the sweep {sweep}, not a sweep", hint=f"its sweep is {sweep}")
    if _is_without_sweep(Path(word)):
        raise _not_of_a_sweep(word)
    error = LaunchError(f"no sweep {name!r} under {store.root}{did_you_mean(name, names)}", hint=_sweeps_hint(names))
    raise _with_others(error, store, word)


def find_run(store: Store, word: str) -> tuple[str, str]:
    """Return the names of the sweep and of the run that a word names.

    Args:
        store: The run directories.
        word: A run id or its beginning, `SWEEP/` and one of these, or a run's folder; or a sweep of a single run.

    Raises:
        LaunchError: If the word names no run, or more than one.
    """
    if word in store.sweeps() and len(runs := _run_ids(store, word)) == 1:
        return word, runs[0]
    return _find_run(store, word, "run")


def _find_run(store: Store, word: str, kind: str) -> tuple[str, str]:
    found = _matching_runs(store, word)
    if len(found) == 1:
        return found[0]
    if not found:
        raise _with_others(_no_run(store, word, kind), store, word)
    # Two sweeps may contain the same run id; then only the sweep's name distinguishes the runs.
    shown = ", ".join("/".join(each) for each in found[:3]) + (" …" if len(found) > 3 else "")
    if {run_id for _, run_id in found} == {word}:
        raise LaunchError(f"{len(found)} sweeps have the run {word!r}: {shown}", hint="type SWEEP/RUN")
    raise LaunchError(f"{word!r} is the beginning of {len(found)} runs: {shown}", hint="type more of it, or SWEEP/RUN")


def find_target(store: Store, word: str) -> str:
    """Return the full name of a sweep or a run: `SWEEP` or `SWEEP/RUN`.

    Raises:
        LaunchError: If the word names neither a sweep nor exactly one run.
    """
    if word.rstrip("/") in store.sweeps() or word.endswith(_YAML):
        return sweep_name(store, word)
    return "/".join(_find_run(store, word, "sweep or run"))


def _matching_runs(store: Store, word: str) -> list[tuple[str, str]]:
    folder = Path(word)
    if os.path.isfile(folder / RUN) and folder.resolve().parent.parent == store.root.resolve():
        return [(folder.resolve().parent.name, folder.resolve().name)]
    sweep, _, beginning = word.rpartition("/")
    sweeps = [sweep] if sweep else store.sweeps()
    runs = [(name, run_id) for name in sweeps for run_id in _run_ids(store, name)]
    exact = [run for run in runs if run[1] == beginning]
    return exact or [run for run in runs if run[1].startswith(beginning) or _is_digits(run[1], beginning)]


def _is_digits(run_id: str, word: str) -> bool:
    """Return whether a word is the eight digits at the end of a run's id, which tables show if they are narrow."""
    return len(word) == 8 and run_id.endswith(f"-{word}")


def _run_ids(store: Store, sweep: str) -> list[str]:
    """Return the ids of a sweep's runs, sorted, without reading any of them."""
    try:
        with os.scandir(store.root / sweep) as entries:
            return sorted(e.name for e in entries if e.is_dir() and e.name != "manifest" and not e.name.startswith("."))
    except OSError:
        return []


def _no_run(store: Store, word: str, kind: str) -> LaunchError:
    sweeps = store.sweeps()
    if _is_without_sweep(Path(word)):
        return _not_of_a_sweep(word)
    if word in sweeps:
        return LaunchError(f"{word!r} is a sweep, not a run", hint=f"`launch status {word}` lists its runs")
    runs = [run_id for name in sweeps for run_id in _run_ids(store, name)]
    names = [*runs, *sweeps] if kind != "run" else runs
    near = did_you_mean(word.rpartition("/")[2], names) if len(runs) <= _MAX_COMPARED else ""
    return LaunchError(
        f"no {kind} {word!r} under {store.root}{near}", hint="`launch status SWEEP` lists the runs of a sweep"
    )


def _is_without_sweep(folder: Path) -> bool:
    """Return whether a folder is a run that no sweep has, such as one of `python -m s5`."""
    return os.path.isfile(folder / CONFIG) and not os.path.isdir(folder.parent / "manifest")


def _not_of_a_sweep(folder: str) -> LaunchError:
    return LaunchError(
        f"{folder} is a run without a sweep: it was not started by the launcher",
        hint=f"`python -m s5 evaluate {shlex.quote(folder)}` computes its scores, "
        f"`s5.load_run({folder!r})` opens it in Python",
    )


def _name_in_file(file: Path) -> str:
    """Return the `name:` in a sweep file; without one, the file's name without its ending."""
    try:
        lines = read_written(file).decode(errors="replace").splitlines()
        for line in (line for line in lines if line.startswith("name:")):
            from launch.yaml_file import Place, parse_yaml  # most sweep files have no `name:` and do not need YAML

            return str(parse_yaml(line, Place(str(file)))["name"])
    except (OSError, ValueError, LaunchError):
        pass
    return file.stem


def _sweeps_hint(names: list[str]) -> str:
    if not names:
        return "there are no sweeps yet; `launch sweep FILE` starts one, --runs names another folder"
    return f"the sweeps are {', '.join(names[:8])}" + (" …" if len(names) > 8 else "")
