"""Read a sweep file as a tree of blocks. A block inherits from the block around it; an included file is a block."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from launch.errors import LaunchError, SweepError, printable
from launch.specs.resources import Resources
from launch.sweepfile.after import AfterClause, read_after, read_block_name
from launch.sweepfile.axes import Axis, read_grid, read_list, read_random, read_zip, refuse_special
from launch.sweepfile.exclude import Rule, read_rules
from launch.sweepfile.published import PublishedRow, read_published
from launch.sweepfile.values import flatten, read_choices, read_value, without_force
from launch.yaml_file import Place, describe, read_yaml

BLOCK_KEYS = (
    *("name", "experiment", "pipeline", "base", "grid", "zip", "list", "random", "exclude", "include", "seeds"),
    *("resources", "paper", "command", "blocks", "after"),
)
TOP_KEYS = (*BLOCK_KEYS, "metric", "retry", "max_parallel", "plugins")
# At the top of a file these two keys describe the whole sweep; in a block they describe the block.
_OF_THE_SWEEP = ("name", "after")
_AXES = {"grid": read_grid, "zip": read_zip, "list": read_list, "random": read_random}
_MAX_SEED = 2**32 - 1
_MAX_SEEDS = 10_000
_MAX_FILES = 200


@dataclass(frozen=True)
class _Trail:
    """The way to a file: the files whose `include` led to it, and how many the sweep has included so far."""

    files: tuple[Path, ...] = ()
    included: list[Path] = field(default_factory=list[Path])

    def to(self, path: Path) -> _Trail:
        return replace(self, files=(*self.files, path))


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of a sweep file, as it is read: with what its own section says, and nothing of the block around it.

    `launch.sweepfile.expand` adds what the block inherits. A field that is None is taken from the block around it. The
    names, `after`, `base`, axes, rules and resources of both are merged. `published` and `children` are not inherited.

    Attributes:
        place: The place of the block in the file.
        names: Its own name, if it has one; with the inherited ones, the names of the blocks around it come first.
        after: The blocks that it waits for.
        experiments: The training recipes.
        base: The overrides of every run: key, with its prefix (`+`, `++`, `~`) if any, to value.
        places: The place in the file of each key of `base`, and of `experiment`.
        axes: The axes of the keys that it varies.
        excludes: The rules that remove runs.
        seeds: The seeds.
        resources: The resources that differ from the defaults.
        command: The command to execute instead of training.
        published: The numbers from the paper.
        children: The blocks and included files inside it.
    """

    place: Place
    names: tuple[str, ...] = ()
    after: tuple[AfterClause, ...] = ()
    experiments: tuple[str, ...] | None = None
    base: dict[str, Any] = field(default_factory=dict[str, Any])
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    axes: tuple[Axis, ...] = ()
    excludes: tuple[Rule, ...] = ()
    seeds: tuple[int, ...] | None = None
    resources: dict[str, Any] = field(default_factory=dict[str, Any])
    command: tuple[str, ...] | None = None
    published: tuple[PublishedRow, ...] = ()
    children: tuple[Block, ...] = ()


def _read_block(section: dict[str, Any], place: Place, path: Path, trail: _Trail) -> Block:
    """Read a block and the blocks inside it.

    Raises:
        SweepError: If a part of the block is not valid.
    """
    base = flatten(section["base"], place.key("base")) if "base" in section else {}
    for key, (_, at) in base.items():
        refuse_special(key, at)
    return Block(
        place=place,
        names=(read_block_name(section["name"], place.key("name")),) if "name" in section else (),
        after=read_after(section["after"], place.key("after")) if "after" in section else (),
        experiments=_read_experiments(section, place),
        base={key: None if key.startswith("~") else read_value(value, at) for key, (value, at) in base.items()},
        places={without_force(key): at for key, (_, at) in base.items()}
        | ({"experiment": place.key(task)} if (task := _task_key(section)) else {}),
        axes=tuple(f for name, read in _AXES.items() if name in section for f in read(section[name], place.key(name))),
        excludes=read_rules(section["exclude"], place.key("exclude")) if "exclude" in section else (),
        seeds=read_seeds(section["seeds"], place.key("seeds")) if "seeds" in section else None,
        resources=read_resources(section["resources"], place.key("resources")) if "resources" in section else {},
        command=_read_command(section["command"], place.key("command")) if "command" in section else None,
        published=read_published(section["paper"], place.key("paper")) if "paper" in section else (),
        children=(*_read_blocks(section, place, path, trail), *_read_includes(section, place, path, trail)),
    )


def read_file(path: Path, place: Place) -> tuple[dict[str, Any], Block]:
    """Return a sweep file's top-level mapping and its block."""
    return _read_file(path, place, _Trail())


def _read_file(path: Path, place: Place, trail: _Trail) -> tuple[dict[str, Any], Block]:
    section = read_yaml(path, place)
    for key in section:
        if key not in TOP_KEYS and ("." in key or "/" in key or "=" in key):
            raise place.key(key).error("unknown key", "put overrides under base, and varied keys under grid")
    place.known_keys(section, TOP_KEYS)
    block = {key: value for key, value in section.items() if key not in _OF_THE_SWEEP}
    return section, _read_block(block, place, path, trail.to(path))


def _task_key(section: dict[str, Any]) -> str | None:
    """Return the key by which a block names its task."""
    return next((key for key in ("experiment", "pipeline") if key in section), None)


def _read_experiments(section: dict[str, Any], place: Place) -> tuple[str, ...] | None:
    key = _task_key(section)
    if key is None:
        return None
    if key == "experiment" and "pipeline" in section:
        hint = "to train the recipe on the data of a pipeline, put pipeline under base"
        raise place.key("pipeline").error("experiment says the data too", hint)
    place = place.key(key)
    names = read_choices(section[key], place)
    if key == "pipeline":
        return tuple(f"pipeline/{place.text(name, 'such as mnist', 'the name of a pipeline')}" for name in names)
    return tuple(place.text(name, "such as digits/s5", "the name of an experiment") for name in names)


def read_seeds(raw: Any, place: Place) -> tuple[int, ...]:
    """Return the seeds: a number n means 0 to n-1; a list or a text such as `range(5)` lists the seeds."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        if not 1 <= raw <= _MAX_SEEDS:
            raise place.error(f"{raw} is not a number of seeds from 1 to {_MAX_SEEDS}", "a list names seeds: [0, 5]")
        return tuple(range(raw))
    return tuple(place.whole(seed, 0, _MAX_SEED) for seed in read_choices(raw, place))


def read_resources(raw: Any, place: Place) -> dict[str, Any]:
    """Return the mapping of resources; raise if a key or value is not valid."""
    values = place.mapping(raw)
    try:
        Resources.from_json(values)
    except LaunchError as error:
        key, _, message = error.message.partition(": ")
        raise place.key(key.removeprefix("resources.")).error(message, error.hint) from error
    return values


def _read_command(raw: Any, place: Place) -> tuple[str, ...]:
    hint = "write it as a list: [python, -m, my_program]"
    if not isinstance(raw, list):
        raise place.error(f"{describe(raw)} is not a list", hint)
    words = place.sequence(raw)
    for i, word in enumerate(words):
        if not isinstance(word, str) or "\0" in word:
            raise place.item(i).error(f"{describe(word)} is not text", "put quotes around it")
    if not words or not words[0]:
        raise place.error("the command is empty", hint)
    return tuple(words)


def _read_blocks(section: dict[str, Any], place: Place, path: Path, trail: _Trail) -> list[Block]:
    if "blocks" not in section:
        return []
    place = place.key("blocks")
    items = place.sequence(section["blocks"])
    if not items:
        raise place.error("the list of blocks is empty", "give it at least one block, or leave it out")
    blocks: list[Block] = []
    for i, item in enumerate(items):
        at = place.item(i)
        at.known_keys(at.mapping(item), BLOCK_KEYS)
        blocks.append(_read_block(item, at, path, trail))
    return blocks


def _read_includes(section: dict[str, Any], place: Place, path: Path, trail: _Trail) -> list[Block]:
    """Read the files that a block includes, each as its own block."""
    if "include" not in section:
        return []
    place = place.key("include")
    raw = section["include"]
    names = place.sequence(raw) if isinstance(raw, list) else [raw]
    if not names:
        raise place.error("the list of files is empty", "name a sweep file, or leave it out")
    blocks: list[Block] = []
    for i, name in enumerate(names):
        at = place.item(i) if isinstance(raw, list) else place
        at.text(name, "name it relative to this file", "the name of a file")
        blocks.append(_read_include(path.parent / name, at, trail))
    return blocks


def _read_include(path: Path, place: Place, trail: _Trail) -> Block:
    known = [os.path.realpath(file) for file in trail.files]
    if (real := os.path.realpath(path)) in known:
        circle = [*trail.files[known.index(real) :], path]
        raise place.error("cyclic include: " + " -> ".join(printable(os.path.normpath(file)) for file in circle))
    # Files that include each other's includes twice would be read a number of times that grows without limit.
    trail.included.append(path)
    if len(trail.included) > _MAX_FILES:
        hint = "a file that several files include is counted each time"
        raise place.error(f"more than {_MAX_FILES} files are included", hint)
    file = printable(os.path.normpath(path))
    try:
        return _read_file(path, Place(file), trail)[1]
    except SweepError as error:
        # A missing file is a mistake in the file that names it.
        if error.key is None and error.file == file and not os.path.isfile(path):
            raise place.error(error.message.removeprefix(f"{file}: ") + f": {file}", error.hint) from error
        raise
