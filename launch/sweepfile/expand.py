"""Resolve the tree of blocks: give each innermost block everything that it inherits, and list its runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from launch.specs.parameters import PROGRAM
from launch.specs.resources import Resources
from launch.sweepfile.axes import Axis
from launch.sweepfile.blocks import Block
from launch.sweepfile.command_line import CommandLine
from launch.sweepfile.values import override_text, without_force
from launch.yaml_file import Place
from s5.config.search_path import PIPELINE, task_choice


@dataclass(frozen=True, kw_only=True)
class ResolvedBlock:
    """A block without inner blocks, with everything that it inherits and the overrides of the command line.

    Attributes:
        block: The block with everything that it inherits.
        experiments: The training recipes.
        seeds: The seeds.
        resources: The resources that each run asks for.
        base: The overrides of every run: key to value and override text.
        axes: The axes of the keys that vary.
        fixed: The overrides of the command line.
        places: Each key with the place that sets it, as text.
    """

    block: Block
    experiments: tuple[str, ...]
    seeds: tuple[int, ...]
    resources: Resources
    base: dict[str, tuple[Any, str]]
    axes: tuple[Axis, ...]
    fixed: CommandLine
    places: dict[str, str]

    @property
    def name(self) -> str | None:
        """The name of the block, or of the nearest named block around it."""
        return self.block.names[-1] if self.block.names else None

    def count(self) -> int:
        """Return the number of runs before the rules of `exclude` remove any."""
        return len(self.experiments) * len(self.seeds) * math.prod(len(f.points) for f in self.axes)

    def settings(self) -> set[str]:
        """Return the varied keys."""
        return {key for axis in self.axes for key in axis.places}

    def facts(self) -> set[str]:
        """Return every key that a rule of `exclude` can use."""
        return {"experiment", "seed", *self.base, *self.settings(), *self.fixed.values}

    def values(self, experiment: str, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the values of one run for all keys of `facts`."""
        base = {key: value for key, (value, _) in self.base.items()}
        return base | dict(settings) | self.fixed.values | {"experiment": experiment, "seed": seed}

    def points(self) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
        """Yield the settings and the overrides of every combination of points."""
        fixed = tuple(self.fixed.texts.values())
        for combination in product(*(axis.points for axis in self.axes)):
            settings = {key: value for point in combination for key, value in point.values.items()}
            base = tuple(text for key, (_, text) in self.base.items() if key not in settings)
            yield settings, (*base, *(text for point in combination for text in point.texts), *fixed)

    def remaining_points(self, matched: set[Place]) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...], int]]:
        """Yield the experiment, settings, overrides and seed of every run that no rule removes.

        Args:
            matched: A set to which the places of the rules that removed a run are added.
        """
        rules = self.block.excludes
        points = list(self.points())
        for experiment, (settings, overrides), seed in product(self.experiments, points, self.seeds):
            if rules:
                facts = self.values(experiment, settings, seed)
                hits = [rule.place for rule in rules if rule.matches(facts)]
                matched.update(hits)
                if hits:
                    continue
            yield experiment, settings, overrides, seed


def resolve_blocks(top: Block, fixed: CommandLine) -> list[ResolvedBlock]:
    """Return the resolved blocks of a file, in file order, with the overrides of the command line.

    Raises:
        SweepError: If a block has no experiment, a key is varied twice, or a rule names a key that no run sets.
    """
    return list(_find(top, Block(place=top.place), fixed))


def _find(block: Block, around: Block, fixed: CommandLine) -> Iterator[ResolvedBlock]:
    merged = _merge(around, block)
    if block.children:
        leaves = [leaf for child in block.children for leaf in _find(child, merged, fixed)]
    else:
        leaves = [_resolve(merged, fixed)]
    known = {key for leaf in leaves for key in leaf.facts()}
    for rule in block.excludes:
        rule.check_keys(known)
    yield from leaves


def _merge(around: Block, block: Block) -> Block:
    """Return `block` with what it inherits from `around`: everything except published numbers and inner blocks."""
    varied = {key: place for axis in around.axes for key, place in axis.places.items()}
    own = {without_force(key): block.places[without_force(key)] for key in block.base}
    for places in (own, *(axis.places for axis in block.axes)):
        for key, place in places.items():
            if key in varied:
                raise place.error(f"{key} is already varied at {varied[key]}", "take it out of one of the two")
        varied |= {} if places is own else places
    return replace(
        block,
        names=around.names + block.names,
        after=around.after + block.after,
        experiments=block.experiments or around.experiments,
        base={key: value for key, value in around.base.items() if without_force(key) not in own} | block.base,
        places=around.places | block.places,
        axes=around.axes + block.axes,
        excludes=around.excludes + block.excludes,
        seeds=block.seeds or around.seeds,
        resources=around.resources | block.resources,
        command=block.command or around.command,
    )


def _resolve(block: Block, fixed: CommandLine) -> ResolvedBlock:
    experiments = fixed.experiments or block.experiments
    if PIPELINE in fixed.values and block.command is None:  # it replaces pipelines, and changes the data of recipes
        other = f"{PIPELINE}/{fixed.values[PIPELINE]}"
        tasks = (other if task_choice(one)[0] == PIPELINE else one for one in experiments or (other,))
        experiments = tuple(dict.fromkeys(tasks))
    if not experiments and block.command is None:
        hint = "name the recipe, such as `experiment: digits/s5`, a `pipeline`, or a `command` with its own parameters"
        raise block.place.error("experiment is missing", hint)
    axes = tuple(axis.without(set(fixed.texts)) for axis in block.axes)
    places = {key: str(place) for key, place in block.places.items()}
    places |= {key: str(place) for axis in axes for key, place in axis.places.items()}
    places |= {key: "command line" for key in fixed.texts}
    if fixed.experiments:
        places["experiment"] = "command line"
    return ResolvedBlock(
        block=block,
        experiments=experiments or (PROGRAM,),
        seeds=fixed.seeds or block.seeds or (0,),
        resources=Resources.from_json(block.resources | fixed.resources),
        base={
            without_force(key): (value, override_text(key, value, block.places[without_force(key)]))
            for key, value in block.base.items()
            if without_force(key) not in fixed.texts
        },
        axes=axes,
        fixed=fixed,
        places=places,
    )
