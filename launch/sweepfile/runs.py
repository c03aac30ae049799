"""Expand resolved blocks to the list of runs, without duplicates, before their configs are composed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from launch.errors import plural
from launch.specs.resources import Resources
from launch.sweepfile.blocks import Block
from launch.sweepfile.dependencies import DependencyResolver, RunDependencies
from launch.sweepfile.expand import ResolvedBlock
from launch.yaml_file import Place

MAX_RUNS = 100_000


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run as the sweep file defines it, before its config is composed.

    Attributes:
        experiment: The training recipe.
        overrides: Hydra overrides from base, point and command line, in this order; a later override wins. Without
            `experiment=` and `seed=`.
        settings: The plain values of the keys that the sweep varies, without experiment and seed.
        seed: The seed.
        resources: The resources that an attempt asks for.
        command: The command to execute instead of training; None for training.
        dependencies: The labels that it provides and requires.
        blocks: The names of its block and of those around it, the outermost first.
        where: The place in the sweep file, for messages.
        places: Key to the place where the file (or the command line) sets it, for messages.
    """

    experiment: str
    overrides: tuple[str, ...]
    settings: dict[str, Any]
    seed: int
    resources: Resources
    command: tuple[str, ...] | None = None
    dependencies: RunDependencies = field(default_factory=RunDependencies)
    blocks: tuple[str, ...] = ()
    where: str = "command line"
    places: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)

    @property
    def block(self) -> str | None:
        """The name of the run's block, or of the nearest named block around it."""
        return self.blocks[-1] if self.blocks else None

    def joined(self, other: RunSpec) -> RunSpec:
        """Return one spec for two equal runs. It provides the labels of both and requires those of the earlier run.

        The earlier run is the one with the smaller depth, so that a run never waits for itself through other runs.
        """
        one, two = self.dependencies, other.dependencies
        if one == two:
            return self
        provides = tuple(dict.fromkeys((*one.provides, *two.provides)))
        earlier = min(one, two, key=lambda run: run.depth)
        return replace(self, dependencies=replace(earlier, provides=provides))


def expand_runs(top: Block, leaves: list[ResolvedBlock], place: Place) -> tuple[tuple[RunSpec, ...], tuple[str, ...]]:
    """Return the runs of a file's resolved blocks, each once, and warnings about them.

    Raises:
        SweepError: If there are no runs or too many, or a run requires a label that no run provides.
    """
    total = sum(leaf.count() for leaf in leaves)
    if total > MAX_RUNS:
        raise place.error(f"{total:,} runs; a sweep has at most {MAX_RUNS:,}", "split it, or draw some with random")
    resolver = DependencyResolver(top, leaves)
    matched: set[Place] = set()
    runs: dict[object, RunSpec] = {}
    taken: list[tuple[ResolvedBlock, RunSpec]] = []
    warnings = [
        f"{place}: the command line fixes {key}, so it is not varied"
        for leaf in leaves
        for axis in leaf.block.axes
        for key, place in axis.places.items()
        if key in leaf.fixed.values
    ]
    for leaf in leaves:
        specs = list(_specs(leaf, matched, resolver))
        taken += [(leaf, spec) for spec in specs]
        for spec in specs:
            key = _same_run(spec)
            runs[key] = runs[key].joined(spec) if key in runs else spec
        if not specs and len(leaves) > 1:
            warnings.append(f"{leaf.block.place}: the rules of exclude remove every run of this block")
        warnings += [axis.notice for axis in leaf.axes if axis.notice]
    rules = {rule.place: None for leaf in leaves for rule in leaf.block.excludes}
    if not runs:
        raise next(iter(rules)).error(
            f"the rules of exclude remove {'the only run' if total == 1 else f'all {total:,} runs'}",
            "loosen or remove a rule",
        )
    resolver.check([(leaf, spec.dependencies) for leaf, spec in taken])
    warnings += _waiting_less(taken, runs)
    warnings += [f"{at}: the rule matches no run" for at in rules if at not in matched]
    return tuple(runs.values()), tuple(dict.fromkeys(warnings))


def _same_run(spec: RunSpec) -> object:
    """Return the key that equal runs share. For a command or a fine-tuning it includes the labels that it requires."""
    requires = spec.dependencies.requires if spec.command or "train.init_from" in spec.places else None
    return spec.experiment, spec.overrides, spec.seed, spec.command, requires


def _waiting_less(taken: Sequence[tuple[ResolvedBlock, RunSpec]], runs: Mapping[object, RunSpec]) -> list[str]:
    """Return a warning for each block with runs of an earlier block: they wait only for what the earlier one names."""
    found: Counter[str] = Counter()
    for leaf, spec in taken:
        if spec.dependencies.requires != runs[_same_run(spec)].dependencies.requires:
            found[str(leaf.block.place)] += 1
    return [
        f"{place}: {plural(count, 'run')} of this block {'is' if count == 1 else 'are'} already in an earlier block: "
        "equal trainings are one run, which waits only for what the earlier block waits for"
        for place, count in found.items()
    ]


def _specs(leaf: ResolvedBlock, matched: set[Place], resolver: DependencyResolver) -> Iterator[RunSpec]:
    """Yield the runs of a resolved block."""
    where = str(leaf.block.place)
    for experiment, settings, overrides, seed in leaf.remaining_points(matched):
        yield RunSpec(
            experiment=experiment,
            overrides=overrides,
            settings=settings,
            seed=seed,
            resources=leaf.resources,
            command=leaf.block.command,
            dependencies=resolver.of(leaf, experiment, settings, seed),
            blocks=leaf.block.names,
            where=where,
            places=leaf.places,
        )
