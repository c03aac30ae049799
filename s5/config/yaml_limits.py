"""The limits of a YAML file that a person writes: its depth, and its number of keys and values.

An alias stands for everything below its anchor. A few lines whose aliases repeat each other can therefore mean more
values than fit into memory, so they are counted before any value is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from yaml import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

MAX_DEPTH = 50
MAX_VALUES = 100_000


def check_extent(events: Iterable[Any]) -> None:
    """Raise if a YAML document is nested too deeply or has too many values; each alias counts as what it stands for.

    Args:
        events: The events of PyYAML's parser. They are read one by one, so a document of any depth is safe.

    Raises:
        yaml.MarkedYAMLError: With the place in the file.
    """
    total = 0
    sizes: dict[str, tuple[int, int]] = {}  # the values and the depth of what each anchor names
    outer: list[list[Any]] = []  # of each open collection: its anchor, the values before it, the depth of its deepest
    for event in events:
        if isinstance(event, CollectionEndEvent):
            anchor, before, deepest = outer.pop()
            if outer:
                outer[-1][2] = max(outer[-1][2], deepest)
            if anchor is not None:
                sizes[anchor] = total - before, deepest - len(outer)
        elif isinstance(event, NodeEvent):
            values, height = _extent(event, sizes, outer)
            total += values
            deepest = len(outer) + height
            if deepest > MAX_DEPTH:
                raise _error(event, f"nested too deeply: at most {MAX_DEPTH} levels are allowed")
            if total > MAX_VALUES:
                what = " with what its aliases stand for" if sizes else ""
                raise _error(event, f"more than {MAX_VALUES:,} keys and values in one file{what}")
            if outer:
                outer[-1][2] = max(outer[-1][2], deepest)
            if isinstance(event, CollectionStartEvent):
                outer.append([event.anchor, total - 1, deepest])
            elif event.anchor is not None and not isinstance(event, AliasEvent):
                sizes[event.anchor] = 1, 1


def _extent(event: NodeEvent, sizes: dict[str, tuple[int, int]], outer: list[list[Any]]) -> tuple[int, int]:
    """Return the number of values that begin with an event, and their depth."""
    if not isinstance(event, AliasEvent):
        return 1, 1
    if any(anchor == event.anchor for anchor, _, _ in outer):
        raise _error(event, f"the alias *{event.anchor} stands inside its own anchor")
    return sizes.get(event.anchor, (1, 1))  # the composer has a message for an anchor that does not exist


def _error(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, event.start_mark)
