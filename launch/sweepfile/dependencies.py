"""When the turn of a run comes: what its success is worth to others, and what it waits for, as tokens.

A token is the name of a block, or the name with the values of some keys: `pretrain`, `pretrain seed=0`. A run of the
block gives it, a run that comes after waits until every run that gives it has succeeded. So a sweep holds a few words a
run, however many runs wait for however many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from launch.errors import FileError, nearest
from launch.grammar import format_value
from launch.sweepfile.after import AfterClause
from launch.sweepfile.blocks import Block
from launch.sweepfile.expand import ResolvedBlock
from launch.yaml_file import Place

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """When the turn of a run comes.

    Attributes:
        gives: The tokens that need its success.
        after: The tokens that it waits for.
        rank: How many blocks come before it at most, one after the other.
    """

    gives: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    rank: int = 0


class DependencyResolver:
    """The turns of the runs of a sweep.

    Args:
        top: The file's block.
        leaves: Its leaves.

    Raises:
        SweepError: For an unknown block or key, two blocks of one name, or a cycle.
    """

    def __init__(self, top: Block, leaves: Sequence[ResolvedBlock]) -> None:
        names = _names(top)
        self._inside: dict[str, list[ResolvedBlock]] = {name: [] for name in names}
        for leaf in leaves:
            for name in leaf.block.names:
                self._inside[name].append(leaf)
        for wait in (wait for leaf in leaves for wait in leaf.block.after):
            if wait.name not in names:
                raise _unknown(wait, list(names))
        self._ranks = self._rank(leaves)
        self._keys = {wait.place: self._resolve(wait) for leaf in leaves for wait in leaf.block.after}
        # By block the keys by which somebody matches its runs, each with the first place that says so.
        self._asked: dict[str, dict[tuple[str, ...], Place]] = {}
        for wait in (wait for leaf in leaves for wait in leaf.block.after):
            self._asked.setdefault(wait.name, {}).setdefault(self._keys[wait.place], wait.place)

    def of(self, leaf: ResolvedBlock, experiment: str, settings: Mapping[str, Any], seed: int) -> RunOrder:
        """Return the turn of a run of a leaf.

        Raises:
            SweepError: Where it lacks a key that decides which runs belong together.
        """
        block = leaf.block
        if not block.after and not any(name in self._asked for name in block.names):
            return RunOrder()
        base = {key: value for key, (value, _) in leaf.base.items()}
        facts = base | dict(settings) | leaf.fixed.values | {"experiment": experiment, "seed": seed}
        asked = [(name, keys, at) for name in block.names for keys, at in self._asked.get(name, {}).items()]
        waits = [(wait.name, self._keys[wait.place], wait.place) for wait in block.after]
        gives = [_token(name, keys, facts, leaf, at) for name, keys, at in asked]
        after = [_token(name, keys, facts, leaf, at) for name, keys, at in waits]
        rank = max((1 + self._ranks[wait.name] for wait in block.after), default=0)
        return RunOrder(gives=tuple(gives), after=tuple(dict.fromkeys(after)), rank=rank)

    def check(self, turns: Sequence[tuple[ResolvedBlock, RunOrder]]) -> None:
        """Refuse a run that would wait for no run.

        Raises:
            SweepError: Naming what no run gives.
        """
        given = {token: None for _, turn in turns for token in turn.gives}
        for leaf, turn in turns:
            for token in turn.after:
                if token not in given:
                    raise self._empty(leaf, token, list(given))

    def _rank(self, leaves: Sequence[ResolvedBlock]) -> dict[str, int]:
        """Return the rank of every named block: its runs come after so many others at most."""
        graph = {
            name: {wait.name for leaf in inside for wait in leaf.block.after} for name, inside in self._inside.items()
        }
        ranks: dict[str, int] = {}
        try:
            for name in TopologicalSorter(graph).static_order():
                ranks[name] = max((1 + ranks[before] for before in graph[name]), default=0)
        except CycleError as error:
            circle: list[str] = list(reversed(error.args[1]))
            one, other = circle[:2]
            place = next(w.place for leaf in self._inside[one] for w in leaf.block.after if w.name == other)
            hint = "a block's name covers all of its runs, those of the blocks inside it too"
            raise place.error("cyclic after: " + " -> ".join(circle), hint) from error
        return ranks

    def _resolve(self, wait: AfterClause) -> tuple[str, ...]:
        """Return the full keys of a wait, sorted; none where it is for every run."""
        known = sorted({key for leaf in self._inside[wait.name] for key in leaf.facts()})
        return tuple(sorted({_full(key, known, wait) for key in wait.keys or ()}))

    def _empty(self, leaf: ResolvedBlock, token: str, given: list[str]) -> FileError:
        name = token.partition(" ")[0]
        wait = next(wait for wait in leaf.block.after if wait.name == name)
        if token == name:
            return wait.place.error(f"no run of {name} is left to wait for", "loosen its rules of exclude")
        own = [other.removeprefix(f"{name} ") for other in given if other.startswith(f"{name} ")]
        shown = ", ".join(own[:_SHOWN]) + (", …" if len(own) > _SHOWN else "") or "none left"
        message = f"no run of {name} has {token.removeprefix(f'{name} ')}"
        return wait.place.error(message, f"its runs have {shown}; or wait for all of them: `after: {name}`")


def _names(top: Block) -> dict[str, None]:
    """Return the names of all blocks."""
    names: dict[str, Place] = {}
    for name, place in _walk(top):
        if name in names:
            raise place.error(f"a second block of the name {name}; the first is {names[name]}", "give one another name")
        names[name] = place
    return dict.fromkeys(names)


def _walk(block: Block) -> Iterator[tuple[str, Place]]:
    for name in block.names:
        yield name, block.place.key("name")
    for child in block.children:
        yield from _walk(child)


def _unknown(wait: AfterClause, names: list[str]) -> FileError:
    near = nearest(wait.name, names)
    message = f"no block is named {wait.name!r}" + (f"; did you mean {near}?" if near else "")
    hint = f"the named blocks are {', '.join(names)}" if names else "a block is named by its key `name`"
    return wait.place.error(message, hint)


def _full(key: str, known: Sequence[str], wait: AfterClause) -> str:
    """Return the key that is meant: itself, or the one key that ends with it."""
    found = [key] if key in known else [other for other in known if other.endswith(f".{key}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise wait.place.error(f"{key} may be {' or '.join(found)}", "write the whole key")
    near = nearest(key, list(known))
    message = f"no run of {wait.name} sets {key}" + (f"; did you mean {near}?" if near else "")
    raise wait.place.error(message, f"its runs set {', '.join(known)}")


def _token(name: str, keys: tuple[str, ...], facts: Mapping[str, Any], leaf: ResolvedBlock, place: Place) -> str:
    """Return the token of a block for a run with these values."""
    for key in keys:
        if key not in facts:
            message = f"a run of {leaf.block.place} sets no {key}, by which runs are matched"
            raise place.error(message, f"set it there under base, or leave {key} out here")
    return " ".join((name, *(f"{key}={_text(facts[key])}" for key in keys)))


def _text(value: Any) -> str:
    """Return a value as it stands in a token: equal values have one text, and 1 is 1.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return format_value(value)
