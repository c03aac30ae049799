"""Find out which runs of a sweep wait for which other runs.

A *label* is the name of a block, alone or with values: `pretrain`, `pretrain seed=0`. Runs of the block *provide* the
label. A run that *requires* the label waits until all runs that provide it have succeeded. With labels a sweep stores
a few words per run, even if thousands of runs wait for thousands of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, final

from launch.errors import FileError, did_you_mean
from launch.grammar import format_value
from launch.sweepfile.after import AfterClause
from launch.sweepfile.blocks import Block
from launch.sweepfile.expand import ResolvedBlock
from launch.yaml_file import Place

_SHOWN = 5


def block_of(label: str) -> str:
    """Return the name of the block in a label."""
    return label.partition(" ")[0]


@dataclass(frozen=True, kw_only=True)
class RunDependencies:
    """The labels of a run: those it provides and those it waits for.

    Attributes:
        provides: The labels that this run provides and other runs require.
        requires: The labels that this run waits for.
        depth: The number of blocks in the longest chain of blocks that must finish before this run.
    """

    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    depth: int = 0


@final
class DependencyResolver:
    """Finds the dependencies of the runs of a sweep.

    Args:
        top: The file's outermost block.
        leaves: The resolved blocks, which contain the runs.

    Raises:
        SweepError: If `after` names an unknown block or key, two blocks have one name, or blocks wait in a cycle.
    """

    def __init__(self, top: Block, leaves: Sequence[ResolvedBlock]) -> None:
        self._members: dict[str, list[ResolvedBlock]] = {}
        self._add_names(top, {})
        for leaf in leaves:
            for name in leaf.block.names:
                self._members[name].append(leaf)
        clauses = [clause for leaf in leaves for clause in leaf.block.after]
        for name, place in ((clause.name, clause.place) for clause in clauses):
            if name not in self._members:
                known = ", ".join(self._members)
                hint = f"the named blocks are {known}" if known else "a block is named by its key `name`"
                raise place.error(f"no block is named {name!r}{did_you_mean(name, self._members)}", hint)
        self._depths = self._find_depths()
        self._keys = {clause.place: self._full_keys(clause) for clause in clauses}
        # For each block, the lists of keys by which other runs match its runs, each with its first place.
        self._asked: dict[str, dict[tuple[str, ...], Place]] = {}
        for clause in clauses:
            self._asked.setdefault(clause.name, {}).setdefault(self._keys[clause.place], clause.place)

    def of(self, leaf: ResolvedBlock, experiment: str, settings: Mapping[str, Any], seed: int) -> RunDependencies:
        """Return the dependencies of a run.

        Raises:
            SweepError: If the run does not set a key by which runs are matched.
        """
        block = leaf.block
        if not block.after and self._asked.keys().isdisjoint(block.names):
            return RunDependencies()
        values = leaf.values(experiment, settings, seed)

        def label(name: str, keys: tuple[str, ...], place: Place) -> str:
            if missing := next((key for key in keys if key not in values), None):
                message = f"a run of {block.place} sets no {missing}, by which runs are matched"
                raise place.error(message, f"set it there under base, or leave {missing} out here")
            return " ".join((name, *(f"{key}={_value_text(values[key])}" for key in keys)))

        asked = [(name, keys, at) for name in block.names for keys, at in self._asked.get(name, {}).items()]
        return RunDependencies(
            provides=tuple(label(*one) for one in asked),
            requires=tuple(dict.fromkeys(label(c.name, self._keys[c.place], c.place) for c in block.after)),
            depth=max((1 + self._depths[clause.name] for clause in block.after), default=0),
        )

    def check(self, runs: Sequence[tuple[ResolvedBlock, RunDependencies]]) -> None:
        """Raise if a run requires a label that no run provides; the message lists the labels that exist."""
        provided = {label: None for _, run in runs for label in run.provides}
        for leaf, run in runs:
            if label := next((label for label in run.requires if label not in provided), None):
                raise _unprovided(leaf, label, list(provided))

    def _add_names(self, block: Block, places: dict[str, Place]) -> None:
        """Add the names of a block and of the blocks inside it; raise if a name appears twice."""
        for name in block.names:
            place = block.place.key("name")
            if (first := places.setdefault(name, place)) is not place:
                raise place.error(f"a second block of the name {name}; the first is {first}", "give one another name")
            self._members[name] = []
        for child in block.children:
            self._add_names(child, places)

    def _find_depths(self) -> dict[str, int]:
        """Return, for each named block, the number of blocks in the longest chain before it."""
        graph = {
            name: {clause.name for leaf in members for clause in leaf.block.after}
            for name, members in self._members.items()
        }
        depths: dict[str, int] = {}
        try:
            for name in TopologicalSorter(graph).static_order():
                depths[name] = max((1 + depths[before] for before in graph[name]), default=0)
        except CycleError as error:
            circle: list[str] = list(reversed(error.args[1]))
            one, other = circle[:2]
            place = next(c.place for leaf in self._members[one] for c in leaf.block.after if c.name == other)
            hint = "a block's name covers all of its runs, those of the blocks inside it too"
            raise place.error("cyclic after: " + " -> ".join(circle), hint) from error
        return depths

    def _full_keys(self, clause: AfterClause) -> tuple[str, ...]:
        """Return the full keys of a clause, sorted; the file may shorten `optim.lr` to `lr`."""
        known = sorted({key for leaf in self._members[clause.name] for key in leaf.facts()})
        return tuple(sorted({_full_key(key, known, clause) for key in clause.keys}))


def _unprovided(leaf: ResolvedBlock, label: str, provided: list[str]) -> FileError:
    name, _, values = label.partition(" ")
    place = next(clause.place for clause in leaf.block.after if clause.name == name)
    if not values:
        return place.error(f"no run of {name} is left to wait for", "loosen its rules of exclude")
    known = [other.removeprefix(f"{name} ") for other in provided if other.startswith(f"{name} ")]
    shown = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "") or "none left"
    return place.error(
        f"no run of {name} has {values}", f"its runs have {shown}; or wait for all of them: `after: {name}`"
    )


def _full_key(key: str, known: Sequence[str], clause: AfterClause) -> str:
    """Return the full key: the key itself if it is known, or the only known key that ends with it."""
    found = [key] if key in known else [other for other in known if other.endswith(f".{key}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise clause.place.error(f"{key} may be {' or '.join(found)}", "write the whole key")
    message = f"no run of {clause.name} sets {key}{did_you_mean(key, known)}"
    raise clause.place.error(message, f"its runs set {', '.join(known)}")


def _value_text(value: Any) -> str:
    """Return the text of a value in a label; equal values have the same text: 1.0 is written 1."""
    return format_value(int(value) if isinstance(value, float) and value.is_integer() else value)
