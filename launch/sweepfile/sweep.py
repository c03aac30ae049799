"""Load a sweep file, or define a single run, as a `Sweep`; docs/sweeps.md describes the file format."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from launch.errors import plural, printable
from launch.specs.parameters import names_in
from launch.store.manifest import BLOCK
from launch.store.records import PublishedNumber
from launch.sweepfile.after import MAX_NAME, NAME
from launch.sweepfile.blocks import TOP_KEYS, Block, read_file
from launch.sweepfile.command_line import CommandLine, named_task, read_command_line
from launch.sweepfile.exclude import same_value
from launch.sweepfile.expand import ResolvedBlock, resolve_blocks
from launch.sweepfile.published import PublishedRow, check_metric, check_settings, check_unambiguous, resolve_row
from launch.sweepfile.runs import RunSpec, expand_runs
from launch.yaml_file import Place, describe

# How often a run is retried, by the reason its attempt ended. A timeout is retried only after progress.
RETRY_DEFAULTS: dict[str, int] = {
    "killed": 3,
    "node_failure": 3,
    "timeout": 20,
    "crash": 0,
    "out_of_memory": 0,
    "nan": 0,
    "user_error": 0,
    "start": 0,
}
# A program may have parameters of these names; typed on the command line, they are more likely meant for the file.
_FILE_KEYS = frozenset(TOP_KEYS) - {"experiment", "pipeline", "seeds", "resources", "plugins"}
DEFAULT_METRIC = "test/accuracy"
MAX_RETRIES = 1000


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """An expanded sweep file. `print` shows its runs.

    Attributes:
        name: The name of the sweep and of its folder under `runs/`.
        file: The path of the file as the user typed it; None for `launch run`.
        runs: Every run, in the order of the file.
        published: The numbers from the paper.
        metric: The metric of the results table.
        retry: The number of retries, by the reason an attempt ended.
        max_parallel: How many runs may execute at once; None for as many as there are slots.
        after: The sweeps whose runs must all succeed before a run of this sweep starts.
        plugins: Folders or entry points of plug-ins that its runs use.
        warnings: One line for each thing that is allowed but probably a mistake.
        words: The overrides that made it; for a single run, the experiment and the overrides.
    """

    name: str
    file: str | None
    runs: tuple[RunSpec, ...]
    published: tuple[PublishedNumber, ...] = ()
    metric: str = DEFAULT_METRIC
    retry: dict[str, int] = field(default_factory=lambda: dict(RETRY_DEFAULTS))
    max_parallel: int | None = None
    after: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Sweep({self.name!r}, {plural(len(self.runs), 'run')})"

    def __str__(self) -> str:
        lines = [f"{self.name}{f' ({self.file})' if self.file else ''}: {plural(len(self.runs), 'run')}"]
        for run in self.runs:
            settings = "".join(f" {key}={value}" for key, value in run.settings.items())
            lines.append(f"  {run.experiment}{settings} seed={run.seed}")
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def load_sweep(file: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and expand it to its runs; overrides of the command line win over the file.

    Raises:
        SweepError: If the file or an override is not valid.
    """
    place = Place(printable(str(file)))
    try:
        return replace(_load(file, place, read_command_line(overrides)), words=tuple(overrides))
    except RecursionError as error:  # many files that include each other, each with blocks in blocks
        raise place.error("the file is nested too deeply") from error


def _load(file: Path, place: Place, fixed: CommandLine) -> Sweep:
    section, block = read_file(file, place)
    metric = section.get("metric")
    metric = DEFAULT_METRIC if metric is None else place.key("metric").text(metric, "such as test/accuracy")
    leaves = resolve_blocks(block, fixed)
    _refuse_file_keys(fixed, leaves, place)
    if _all_train(leaves):
        check_metric(metric, place.key("metric"))
    runs, warnings = expand_runs(block, leaves, place)
    parallel, at = section.get("max_parallel"), place.key("max_parallel")
    return Sweep(
        name=_read_name(section, file, place),
        file=str(file),
        runs=runs,
        published=_published(block, leaves, metric, fixed),
        metric=metric,
        retry=_read_retry(section, place),
        max_parallel=None if parallel is None else at.whole(parallel, 1, hint="leave it out for no limit"),
        after=_read_after(section, place),
        plugins=_read_plugins(section, file, place),
        warnings=(*warnings, *_unused_keys(block)),
    )


def single_run(experiment: str, overrides: Sequence[str] = ()) -> Sweep:
    """Return a sweep of one run, named `run-<experiment>-<overrides>` with `-` for `/` and `=`.

    Different overrides give different sweeps, so several can run at once, and no table mixes them.

    Args:
        experiment: The training recipe, or `pipeline/NAME`; or an override, if one of them says `pipeline=NAME` or
            `experiment=NAME`, as on the command line of `python -m s5`.
        overrides: Hydra overrides; `seed=…` chooses the seed.

    Raises:
        SweepError: If an override is not valid.
    """
    place = Place("command line")
    if "=" in experiment:
        task, fixed = named_task(read_command_line([experiment, *overrides]))
    else:
        task, fixed = experiment, read_command_line(overrides)
        if fixed.experiments:
            raise place.key("experiment").error("the experiment is named twice", "name it once, before the overrides")
    block = Block(place=place, experiments=(task,), places={"experiment": place})
    leaves = resolve_blocks(block, fixed)
    _refuse_file_keys(fixed, leaves, None)
    runs, _ = expand_runs(block, leaves, place)
    words = (experiment, *overrides)
    return Sweep(name=_name_of(experiment, overrides), file=None, runs=runs, words=words)


def _name_of(experiment: str, overrides: Sequence[str]) -> str:
    """Return a readable name for the sweep of a single run, different for different overrides."""
    words = "-".join(("run", experiment, *sorted(overrides)))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", words)
    if not overrides or (len(name) <= MAX_NAME and not re.search(r"[^\w.=/+~-]", words)):
        return name[:MAX_NAME]
    digits = sha256(words.encode()).hexdigest()[:8]  # two overrides may differ only in replaced or cut characters
    return f"{name[: MAX_NAME - 9].rstrip('-')}-{digits}"


def _published(
    block: Block, leaves: list[ResolvedBlock], metric: str, fixed: CommandLine
) -> tuple[PublishedNumber, ...]:
    """Return the paper's numbers, without those for experiments or settings that the command line replaced."""
    numbers: list[PublishedNumber] = []
    for row, inside in _rows(block, leaves):
        if fixed.experiments and row.experiment not in (None, *fixed.experiments):
            continue
        if any(key in fixed.values and not same_value(fixed.values[key], value) for key, value in row.settings.items()):
            continue
        names = {leaf.name for leaf in inside}
        known = {key for leaf in inside for key in leaf.settings() | set(fixed.values)}
        check_settings(row, known if names == {None} else {BLOCK, *known})
        if row.metric is not None and _all_train(inside):
            check_metric(row.metric, row.place.key("metric"))
        number = resolve_row(row, (name for leaf in inside for name in leaf.experiments), metric)
        settings = {key: value for key, value in number.settings.items() if key not in fixed.values}
        if len(names) == 1 and None not in names:
            settings = {BLOCK: names.pop(), **settings}
        numbers.append(replace(number, settings=settings))
        check_unambiguous(numbers, row)
    return tuple(numbers)


def _refuse_file_keys(fixed: CommandLine, leaves: list[ResolvedBlock], file: Place | None) -> None:
    """Raise if the command line has a key of the sweep file that is not a parameter in the file too.

    Args:
        fixed: The overrides of the command line.
        leaves: The resolved blocks.
        file: The sweep file; None for a single run.
    """
    parameters = {key.partition(".")[0] for leaf in leaves for key in _named(leaf.block)}
    for key, value in fixed.values.items():
        section = key.partition(".")[0]
        if section not in _FILE_KEYS or section in parameters:
            continue
        at = Place("command line").key(key)
        if file is None:
            raise at.error("a key of a sweep file", "write a file with it; `launch sweep FILE` starts it")
        what = "the name of a sweep belongs in its file" if key == "name" else "it is a key of the sweep file"
        there = f"`{key}: {printable(str(value))}`" if key == section else f"`{section}:`"
        own = "" if _all_train(leaves) else "; a program's own parameter stands under base or grid"
        raise at.error(what, f"write {there} into {file.file}{own}")


def _named(block: Block) -> set[str]:
    """Return the parameters that a block sets, varies, or has in its command."""
    return {*block.places, *(key for axis in block.axes for key in axis.places), *names_in(block.command or ())}


def _rows(block: Block, leaves: list[ResolvedBlock]) -> Iterator[tuple[PublishedRow, list[ResolvedBlock]]]:
    """Yield every row of the tree with the resolved blocks that it applies to."""
    inside = [leaf for leaf in leaves if _contains(block, leaf.block.place)]
    for row in block.published:
        yield row, inside
    for child in block.children:
        yield from _rows(child, leaves)


def _all_train(leaves: list[ResolvedBlock]) -> bool:
    """Return whether every block trains: none has a `command`, its own or inherited. Commands may use any metric."""
    return all(leaf.block.command is None for leaf in leaves)


def _unused_keys(block: Block) -> Iterator[str]:
    """Yield a warning for each key of a block that every block inside it replaces."""
    for name, key in (("experiments", "experiment"), ("seeds", "seeds"), ("command", "command")):
        if block.children and getattr(block, name) is not None and not _passes_on(block, name):
            place = block.places.get(key, block.place.key(key))
            yield f"{place}: no run uses it: every block inside has {key} of its own"
    for child in block.children:
        yield from _unused_keys(child)


def _passes_on(block: Block, name: str) -> bool:
    heirs = (child for child in block.children if getattr(child, name) is None)
    return any(not heir.children or _passes_on(heir, name) for heir in heirs)


def _contains(block: Block, place: Place) -> bool:
    return block.place == place or any(_contains(child, place) for child in block.children)


def _read_name(section: Mapping[str, Any], file: Path, place: Place) -> str:
    """Return the name of the sweep from the file's key `name`, else the file's own name without its suffix."""
    name = section.get("name")
    if name is None:
        name = file.stem
    else:
        place = place.key("name")
        name = name if isinstance(name, str) else place.text(name)
    if NAME.fullmatch(name):  # such a name can be a folder, a job's name and a word in a shell
        return name
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:MAX_NAME] or "my-sweep"
    rule = f"letters, digits, `.`, `_` and `-` are allowed, a letter or digit first, at most {MAX_NAME}"
    message = f"{name!r} cannot name a sweep: {rule}"
    raise place.error(message, f"add `name: {plain}` to the file")


def _read_retry(section: Mapping[str, Any], place: Place) -> dict[str, int]:
    place = place.key("retry")
    values = place.mapping(section.get("retry", {}))
    place.known_keys(values, RETRY_DEFAULTS)
    return RETRY_DEFAULTS | {key: place.key(key).whole(value, 0, MAX_RETRIES) for key, value in values.items()}


def _read_plugins(section: Mapping[str, Any], file: Path, place: Place) -> tuple[str, ...]:
    """Return the plug-ins of a sweep: absolute paths of folders (the file's are relative to it) or entry points."""
    if "plugins" not in section:
        return ()
    place, raw = place.key("plugins"), section["plugins"]
    names = place.sequence(raw) if isinstance(raw, list) else [raw]
    for name in names:
        place.text(name, "name the folder that holds plugin.py", "the name of a plug-in")
    folders = [file.parent / Path(name).expanduser() for name in names]
    return tuple(str(at.absolute()) if os.path.isdir(at) else name for at, name in zip(folders, names, strict=True))


def _read_after(section: Mapping[str, Any], place: Place) -> tuple[str, ...]:
    """Return the names of the sweeps that this sweep waits for."""
    value, place = section.get("after"), place.key("after")
    names = place.sequence(value) if isinstance(value, list) else [] if value is None else [value]
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise place.error(f"{describe(name)} is not the name of a sweep", "such as lra; `launch status` lists them")
    return tuple(names)
