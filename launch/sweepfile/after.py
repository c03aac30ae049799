"""The key `after` of a block: which blocks of the sweep come first, for all of its runs or for those that match."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from launch.yaml_file import Place, describe

MAX_NAME = 80
# Of a sweep or a block. It stands in messages, and before the keys of a token: neither spaces nor `=` are in it.
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_EXAMPLE = "such as `after: pretrain`, `after: [a, b]` or `after: {pretrain: [seed]}`"


@dataclass(frozen=True, kw_only=True)
class AfterClause:
    """A block that comes first.

    Attributes:
        name: Its name.
        keys: The keys of which its runs have the same values; None for all of its runs.
        place: Where it is named.
    """

    name: str
    keys: tuple[str, ...] | None
    place: Place


def read_block_name(raw: Any, place: Place) -> str:
    """Return the name of a block.

    Raises:
        SweepError: Where it is none.
    """
    if not isinstance(raw, str) or not NAME.fullmatch(raw):
        rule = "letters, digits, `.`, `_` and `-` are allowed, a letter or digit first"
        raise place.error(f"{describe(raw)} is not the name of a block", rule)
    return raw


def read_after(raw: Any, place: Place) -> tuple[AfterClause, ...]:
    """Return what a block waits for: a name, a mapping of names to keys, or a list of either.

    Raises:
        SweepError: Where it cannot be understood.
    """
    if isinstance(raw, list):
        items = place.sequence(cast("list[Any]", raw))
        if not items:
            raise place.error("the list of blocks is empty", "name a block, or leave it out")
        return tuple(wait for i, item in enumerate(items) for wait in _read_item(item, place.item(i)))
    return tuple(_read_item(raw, place))


def _read_item(raw: Any, place: Place) -> list[AfterClause]:
    if isinstance(raw, dict):
        named = place.mapping(cast("dict[Any, Any]", raw))
        if not named:
            raise place.error("the mapping is empty", _EXAMPLE)
        return [
            AfterClause(name=name, keys=_read_keys(keys, place.key(name)), place=place.key(name))
            for name, keys in named.items()
        ]
    if not isinstance(raw, str) or not raw:
        raise place.error(f"{describe(raw)} is not the name of a block", _EXAMPLE)
    return [AfterClause(name=raw, keys=None, place=place)]


def _read_keys(raw: Any, place: Place) -> tuple[str, ...]:
    keys = cast("list[Any]", raw) if isinstance(raw, list) else [raw]
    if not keys:
        raise place.error("the list of keys is empty", "name a key, or the block alone to wait for all of its runs")
    for key in keys:
        if not isinstance(key, str) or not key:
            raise place.error(f"{describe(key)} is not a key", "such as seed, or a key of base or grid")
    return tuple(dict.fromkeys(keys))
