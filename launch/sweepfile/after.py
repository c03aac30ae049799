"""Read the key `after` of a block: the blocks to wait for, for all of their runs or for those with equal keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from launch.yaml_file import Place, describe

MAX_NAME = 80
# The name of a sweep or a block. Labels such as `pretrain seed=0` begin with it, so it has no spaces and no `=`.
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_EXAMPLE = "such as `after: pretrain`, `after: [a, b]` or `after: {pretrain: [seed]}`"


@dataclass(frozen=True, kw_only=True)
class AfterClause:
    """One block that another block waits for.

    Attributes:
        name: The name of the block to wait for.
        keys: Keys, as the file writes them. A run waits for the runs with the same values of these; empty: for all.
        place: The place of the clause in the sweep file.
    """

    name: str
    keys: tuple[str, ...]
    place: Place


def read_block_name(raw: Any, place: Place) -> str:
    """Return the name of a block; raise if it is not a valid name."""
    if not isinstance(raw, str) or not NAME.fullmatch(raw):
        rule = "letters, digits, `.`, `_` and `-` are allowed, a letter or digit first"
        raise place.error(f"{describe(raw)} is not the name of a block", rule)
    return raw


def read_after(raw: Any, place: Place) -> tuple[AfterClause, ...]:
    """Return the clauses of `after`, which is a name, a mapping of names to keys, or a list of both."""
    if not isinstance(raw, list):
        return _read_item(raw, place)
    items = cast("list[Any]", raw)
    if not items:
        raise place.error("the list of blocks is empty", "name a block, or leave it out")
    return tuple(clause for i, item in enumerate(items) for clause in _read_item(item, place.item(i)))


def _read_item(raw: Any, place: Place) -> tuple[AfterClause, ...]:
    if raw == {}:
        raise place.error("the mapping is empty", _EXAMPLE)
    if isinstance(raw, dict):
        named = place.mapping(cast("dict[Any, Any]", raw))
        at = {name: place.key(name) for name in named}
        return tuple(AfterClause(name=n, keys=_read_keys(keys, at[n]), place=at[n]) for n, keys in named.items())
    return (AfterClause(name=place.text(raw, _EXAMPLE, "the name of a block"), keys=(), place=place),)


def _read_keys(raw: Any, place: Place) -> tuple[str, ...]:
    keys = cast("list[Any]", raw) if isinstance(raw, list) else [raw]
    if not keys:
        raise place.error("the list of keys is empty", "name a key, or the block alone to wait for all of its runs")
    return tuple(place.text(key, "such as seed, or a key of base or grid", "a key") for key in keys)
