"""From the tree of a sweep file to its leaves: blocks with all that they inherit, ready to be multiplied out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from launch.specs.resources import Resources
from launch.sweepfile.axes import Axis
from launch.sweepfile.blocks import Block
from launch.sweepfile.command_line import CommandLine
from launch.sweepfile.values import override_text, without_force
from launch.yaml_file import Place


@dataclass(frozen=True, kw_only=True)
class ResolvedBlock:
    """A block without blocks inside, with what it inherits and what the command line fixes.

    Attributes:
        block: The merged block.
        experiments: Its experiments.
        seeds: Its seeds.
        resources: What its runs ask for.
        base: Key to value and text of the overrides that every run starts from.
        factors: What varies.
        fixed: The overrides of the command line.
        places: Key to the place that sets it.
    """

    block: Block
    experiments: tuple[str, ...]
    seeds: tuple[int, ...]
    resources: Resources
    base: dict[str, tuple[Any, str]]
    factors: tuple[Axis, ...]
    fixed: CommandLine
    places: dict[str, str]

    @property
    def name(self) -> str | None:
        """The name of the block, or of the nearest around it that has one."""
        return self.block.names[-1] if self.block.names else None

    def count(self) -> int:
        """Return how many runs it has before any rule removes one."""
        return len(self.experiments) * len(self.seeds) * math.prod(len(f.points) for f in self.factors)

    def settings(self) -> set[str]:
        """Return the varied keys."""
        return {key for factor in self.factors for key in factor.places}

    def facts(self) -> set[str]:
        """Return every key that a rule can speak of."""
        return {"experiment", "seed", *self.base, *self.settings(), *self.fixed.values}

    def values(self, experiment: str, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the values of one run by key: those of `facts`."""
        base = {key: value for key, (value, _) in self.base.items()}
        return base | dict(settings) | self.fixed.values | {"experiment": experiment, "seed": seed}

    def points(self) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
        """Yield every combination: the settings, and the overrides of a run."""
        fixed = tuple(self.fixed.texts.values())
        for combination in product(*(factor.points for factor in self.factors)):
            settings = {key: value for point in combination for key, value in point.values.items()}
            base = tuple(text for key, (_, text) in self.base.items() if key not in settings)
            yield settings, (*base, *(text for point in combination for text in point.texts), *fixed)

    def remaining_points(self, matched: set[Place]) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...], int]]:
        """Yield experiment, settings, overrides and seed of every run that no rule removes.

        Args:
            matched: Collects the places of the rules that removed a run.
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
    """Return the leaves of a file, in its order.

    Args:
        top: The file's block.
        fixed: What the command line fixes.

    Raises:
        SweepError: Where a leaf has no experiment, a key is varied twice, or a rule names a key that no run sets.
    """
    return list(_find(top, Block(place=top.place), fixed))


def _find(block: Block, around: Block, fixed: CommandLine) -> Iterator[ResolvedBlock]:
    merged = _merge(around, block)
    if block.children:
        leaves = [leaf for child in block.children for leaf in _find(child, merged, fixed)]
    else:
        leaves = [_leaf(merged, fixed)]
    known = {key for leaf in leaves for key in leaf.facts()}
    for rule in block.excludes:
        rule.check_keys(known)
    yield from leaves


def _merge(around: Block, block: Block) -> Block:
    """Return `block` with what it inherits."""
    varied = {key: place for factor in around.factors for key, place in factor.places.items()}
    for key in block.base:
        if without_force(key) in varied:
            place = block.places[without_force(key)]
            raise place.error(
                f"{without_force(key)} is already varied at {varied[without_force(key)]}",
                "take it out of one of the two",
            )
    for factor in block.factors:
        for key, place in factor.places.items():
            if key in varied:
                raise place.error(f"{key} is already varied at {varied[key]}", "take it out of one of the two")
            varied[key] = place
    own = {without_force(key) for key in block.base}
    return replace(
        block,
        names=around.names + block.names,
        after=around.after + block.after,
        experiments=block.experiments or around.experiments,
        base={key: value for key, value in around.base.items() if without_force(key) not in own} | block.base,
        places=around.places | block.places,
        factors=around.factors + block.factors,
        excludes=around.excludes + block.excludes,
        seeds=block.seeds or around.seeds,
        resources=around.resources | block.resources,
        command=block.command or around.command,
    )


def _leaf(block: Block, fixed: CommandLine) -> ResolvedBlock:
    experiments = fixed.experiments or block.experiments
    if not experiments:
        raise block.place.error("experiment is missing", "name the recipe, such as `experiment: digits/s5`")
    factors = tuple(factor.without(set(fixed.texts)) for factor in block.factors)
    places = {key: str(place) for key, place in block.places.items()}
    places |= {key: str(place) for factor in factors for key, place in factor.places.items()}
    places |= {key: "command line" for key in fixed.texts}
    if fixed.experiments:
        places["experiment"] = "command line"
    return ResolvedBlock(
        block=block,
        experiments=experiments,
        seeds=fixed.seeds or block.seeds or (0,),
        resources=Resources.from_json(block.resources | fixed.resources),
        base={
            without_force(key): (value, override_text(key, value, block.places[without_force(key)]))
            for key, value in block.base.items()
            if without_force(key) not in fixed.texts
        },
        factors=factors,
        fixed=fixed,
        places=places,
    )
