"""A sweep file and the runs it expands to. Pure but for reading YAML; `docs/sweeps.md` is the language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from launch.disk.manifest import BLOCK
from launch.language.blocks import Block, read_file
from launch.language.command_line import CommandLine, read_command_line
from launch.language.exclude import same
from launch.language.expand import Leaf, find_leaves
from launch.language.published import PublishedRow, check_metric, check_settings, resolve_row
from launch.language.turns import Turn, Turns
from launch.records import PublishedNumber, row_of
from launch.resources import Resources
from launch.yaml_file import Place, describe, printable

# How often each reason of an attempt's end is tried again. A timeout counts only where the attempt made progress.
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
DEFAULT_METRIC = "test/accuracy"
MAX_RUNS = 100_000
MAX_RETRIES = 1000
MAX_NAME = 80
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run as the sweep file states it, before its config is composed.

    Attributes:
        experiment: The training recipe.
        overrides: Hydra overrides: the base's, the point's, the command line's; a later one wins. Without
            `experiment=` and `seed=`.
        settings: The varied keys of this run inside its sweep, as plain values; neither experiment nor seed.
        seed: The seed.
        resources: What an attempt asks for.
        command: What to execute instead of training; None for that.
        turn: What it waits for, and who waits for it.
        block: Name of its block, or of the nearest around it that has one; None where none has.
        where: The place in the sweep file, for messages.
        places: Key to the place where the file (or the command line) sets it, for messages.
    """

    experiment: str
    overrides: tuple[str, ...]
    settings: dict[str, Any]
    seed: int
    resources: Resources
    command: tuple[str, ...] | None = None
    turn: Turn = field(default_factory=Turn)
    block: str | None = None
    where: str = "command line"
    places: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)

    def joined(self, other: RunSpec) -> RunSpec:
        """Return this one for two that are one run: its success counts for both, and the earlier turn is its turn.

        So no run waits for itself, directly or over others, whichever blocks contain it.
        """
        if self.turn == other.turn:
            return self
        first = min(self.turn, other.turn, key=lambda turn: turn.rank)
        gives = tuple(dict.fromkeys((*self.turn.gives, *other.turn.gives)))
        return replace(self, turn=replace(first, gives=gives))


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """An expanded sweep file.

    Attributes:
        name: Name of the sweep: the folder under `runs/`.
        file: The file as the user named it; None for `launch run`.
        runs: Every run, in the order of the file.
        published: Numbers of the paper.
        metric: The metric of the results table.
        retry: How often each reason of an attempt's end is tried again.
        max_parallel: How many runs may execute at once; None for as many as there are slots.
        after: Sweeps of which every run must have succeeded before one of this starts.
        warnings: What is suspicious and not wrong, one line each.
    """

    name: str
    file: str | None
    runs: tuple[RunSpec, ...]
    published: tuple[PublishedNumber, ...] = ()
    metric: str = DEFAULT_METRIC
    retry: dict[str, int] = field(default_factory=lambda: dict(RETRY_DEFAULTS))
    max_parallel: int | None = None
    after: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_sweep(file: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and expand it.

    Args:
        file: The YAML file.
        overrides: Hydra overrides of the command line; they win over the file.

    Returns:
        The sweep.

    Raises:
        SweepError: Where the file or an override cannot be understood.
    """
    place = Place(printable(str(file)))
    fixed = read_command_line(overrides)
    try:
        section, block = read_file(file, place)
    except RecursionError as error:
        raise place.error("the file is nested too deeply") from error
    metric = _read_text(section, "metric", place) or DEFAULT_METRIC
    leaves = find_leaves(block, fixed)
    if _all_train(leaves):
        check_metric(metric, place.key("metric"))
    runs, warnings = _expand(block, leaves, place)
    return Sweep(
        name=_read_name(section, file, place),
        file=str(file),
        runs=runs,
        published=_published(block, leaves, metric, fixed),
        metric=metric,
        retry=_read_retry(section, place),
        max_parallel=_read_max_parallel(section, place),
        after=_read_after(section, place),
        warnings=warnings,
    )


def single_run(experiment: str, overrides: Sequence[str] = ()) -> Sweep:
    """Return a sweep of one run, named `run-<experiment>-<overrides>` with `-` for `/` and `=`.

    Other overrides make another sweep: several may run at once, and no table mixes them.

    Args:
        experiment: The training recipe.
        overrides: Hydra overrides; `seed=…` chooses the seed.

    Returns:
        The sweep.

    Raises:
        SweepError: Where an override cannot be understood.
    """
    place = Place("command line")
    fixed = read_command_line(overrides)
    if fixed.experiments:
        raise place.key("experiment").error("the experiment is named twice", "name it once, before the overrides")
    # A name with other characters is no experiment's; composing says so.
    name = _name_of(experiment, overrides)
    block = Block(place=place, experiments=(experiment,), places={"experiment": place})
    runs, _ = _expand(block, find_leaves(block, fixed), place)
    return Sweep(name=name, file=None, runs=runs)


def _name_of(experiment: str, overrides: Sequence[str]) -> str:
    """Return the name of a single run's sweep: readable, and different for different overrides."""
    words = "-".join(("run", experiment, *sorted(overrides)))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", words)
    if not overrides or (len(name) <= MAX_NAME and not re.search(r"[^\w.=/+~-]", words)):
        return name[:MAX_NAME]
    digits = sha256(words.encode()).hexdigest()[:8]  # what was cut off or replaced makes a difference too
    return f"{name[: MAX_NAME - 9].rstrip('-')}-{digits}"


def _expand(top: Block, leaves: list[Leaf], place: Place) -> tuple[tuple[RunSpec, ...], tuple[str, ...]]:
    """Return the runs of all leaves, each once, and what is suspicious about them."""
    total = sum(leaf.count() for leaf in leaves)
    if total > MAX_RUNS:
        raise place.error(f"{total:,} runs; a sweep has at most {MAX_RUNS:,}", "split it, or draw some with random")
    turns = Turns(top, leaves)
    matched: set[Place] = set()
    runs: dict[object, RunSpec] = {}
    taken: list[tuple[Leaf, RunSpec]] = []
    warnings = _fixed_keys(leaves)
    for leaf in leaves:
        specs = list(_specs(leaf, matched, turns))
        taken += [(leaf, spec) for spec in specs]
        for spec in specs:
            key = _same_run(spec)
            runs[key] = runs[key].joined(spec) if key in runs else spec
        if not specs and len(leaves) > 1:
            warnings.append(f"{leaf.block.place}: the rules of exclude remove every run of this block")
        warnings += [factor.notice for factor in leaf.factors if factor.notice]
    rules = {rule.place: None for leaf in leaves for rule in leaf.block.excludes}
    if not runs:
        raise next(iter(rules)).error(f"the rules of exclude remove all {total} runs", "loosen or remove a rule")
    turns.check([(leaf, spec.turn) for leaf, spec in taken])
    warnings += _other_turns(taken, runs)
    warnings += _mixed(runs.values()) if len(leaves) > 1 else ()
    warnings += [f"{at}: the rule matches no run" for at in rules if at not in matched]
    return tuple(runs.values()), tuple(dict.fromkeys(warnings))


def _same_run(spec: RunSpec) -> object:
    """Return what specs of one run share. A command is told what came before it, and a training is not."""
    after = None if spec.command is None else spec.turn.after
    return spec.experiment, spec.overrides, spec.seed, spec.command, after


def _other_turns(taken: Sequence[tuple[Leaf, RunSpec]], runs: Mapping[object, RunSpec]) -> list[str]:
    """Return which blocks have runs that do not wait for what the block says."""
    found = Counter(
        str(leaf.block.place) for leaf, spec in taken if spec.turn.after != runs[_same_run(spec)].turn.after
    )
    return [
        f"{place}: runs of this block stand in one that comes earlier too ({count:,}), and wait for nothing more than "
        "there: trainings that are equal are one run"
        for place, count in found.items()
    ]


def _mixed(runs: Iterable[RunSpec]) -> list[str]:
    """Return which blocks differ in nothing that the results show: their runs would have one mean."""
    first: dict[object, RunSpec] = {}
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        other = first.setdefault((row_of(run.experiment, run.settings), run.seed, run.block), run)
        if other is not run:
            found[other.where, run.where] = None
    return [f"{one} and {two} are one row of the results: give blocks that differ a `name`" for one, two in found]


def _specs(leaf: Leaf, matched: set[Place], turns: Turns) -> Iterator[RunSpec]:
    """Yield the runs of a leaf."""
    where = str(leaf.block.place)
    for experiment, settings, overrides, seed in leaf.kept(matched):
        yield RunSpec(
            experiment=experiment,
            overrides=overrides,
            settings=settings,
            seed=seed,
            resources=leaf.resources,
            command=leaf.block.command,
            turn=turns.of(leaf, experiment, settings, seed),
            block=leaf.name,
            where=where,
            places=leaf.places,
        )


def _fixed_keys(leaves: list[Leaf]) -> list[str]:
    """Return a warning for each varied key that the command line fixes."""
    return [
        f"{place}: the command line fixes {key}, so it is not varied"
        for leaf in leaves
        for factor in leaf.block.factors
        for key, place in factor.places.items()
        if key in leaf.fixed.values
    ]


def _published(block: Block, leaves: list[Leaf], metric: str, fixed: CommandLine) -> tuple[PublishedNumber, ...]:
    """Return the paper's numbers; those for runs that the command line changed away are left out."""
    numbers: list[PublishedNumber] = []
    for row, inside in _rows(block, leaves):
        if fixed.experiments and row.experiment not in (None, *fixed.experiments):
            continue
        if any(key in fixed.values and not same(fixed.values[key], value) for key, value in row.settings.items()):
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
    return tuple(numbers)


def _rows(block: Block, leaves: list[Leaf]) -> Iterator[tuple[PublishedRow, list[Leaf]]]:
    """Yield every row of the tree with the leaves that it can speak of."""
    inside = [leaf for leaf in leaves if _contains(block, leaf.block.place)]
    for row in block.published:
        yield row, inside
    for child in block.children:
        yield from _rows(child, leaves)


def _all_train(leaves: list[Leaf]) -> bool:
    """Return whether no block has a command of its own, whose metrics only it knows."""
    return all(leaf.block.command is None for leaf in leaves)


def _contains(block: Block, place: Place) -> bool:
    return block.place == place or any(_contains(child, place) for child in block.children)


def _read_name(section: Mapping[str, Any], file: Path, place: Place) -> str:
    """Return the sweep's name: what the file says, else the file's own name without its ending."""
    name = section.get("name")
    if name is None:
        _check_name(file.stem, place)
        return file.stem
    if not isinstance(name, str):
        raise place.key("name").error(f"{describe(name)} is not text", "put quotes around it")
    _check_name(name, place.key("name"))
    return name


def _check_name(name: str, place: Place) -> None:
    """Raise for a name that cannot be a folder, a job's name and a word on a shell's line, all three."""
    if NAME.fullmatch(name):
        return
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:MAX_NAME] or "my-sweep"
    rule = f"letters, digits, `.`, `_` and `-` are allowed, a letter or digit first, at most {MAX_NAME}"
    message = f"{name!r} cannot name a sweep: {rule}"
    raise place.error(message, f"add `name: {plain}` to the file")


def _read_text(section: Mapping[str, Any], key: str, place: Place) -> str | None:
    value = section.get(key)
    if value is not None and (not isinstance(value, str) or not value or not value.isprintable()):
        raise place.key(key).error(f"{describe(value)} is not text", "such as test/accuracy")
    return value


def _read_retry(section: Mapping[str, Any], place: Place) -> dict[str, int]:
    if "retry" not in section:
        return dict(RETRY_DEFAULTS)
    place = place.key("retry")
    values = place.mapping(section["retry"])
    place.known_keys(values, RETRY_DEFAULTS)
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
            raise place.key(key).error(f"{describe(value)} is not a whole number from 0 to {MAX_RETRIES}")
    return RETRY_DEFAULTS | values


def _read_after(section: Mapping[str, Any], place: Place) -> tuple[str, ...]:
    """Return the names of the sweeps that this one comes after."""
    value, place = section.get("after"), place.key("after")
    names = place.sequence(value) if isinstance(value, list) else [] if value is None else [value]
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise place.error(f"{describe(name)} is not the name of a sweep", "such as lra; `launch status` lists them")
    return tuple(names)


def _read_max_parallel(section: Mapping[str, Any], place: Place) -> int | None:
    value = section.get("max_parallel")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise place.key("max_parallel").error(
            f"{describe(value)} is not a whole number from 1", "leave it out for no limit"
        )
    return value
