"""Read the section `exclude`: its rules remove runs from a sweep."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from launch.errors import did_you_mean
from launch.grammar import GrammarError, parse_value
from launch.sweepfile.values import flatten, read_choices, without_force
from launch.yaml_file import Place, describe

_COMPARISON = re.compile(r"(<=|>=|!=|<|>)\s*(.+)", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Condition = Callable[[Any], bool]


@dataclass(frozen=True)
class Rule:
    """A rule that excludes every run for which all conditions are true. A run without one of the keys stays.

    Attributes:
        place: The place of the rule in the file.
        conditions: Each key with a function that tests the key's value.
        places: Each key with its place in the file.
    """

    place: Place
    conditions: Mapping[str, Condition]
    places: Mapping[str, Place]

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Return whether the rule excludes a run with these values."""
        return all(key in facts and holds(facts[key]) for key, holds in self.conditions.items())

    def check_keys(self, known: set[str]) -> None:
        """Raise if the rule has a key that no run of its block sets, since the rule could never match."""
        for key, place in self.places.items():
            if key not in known:
                message = f"no run sets this key{did_you_mean(key, sorted(known))}"
                raise place.error(message, f"a rule can use {', '.join(sorted(known))}")


def read_rules(raw: Any, place: Place) -> tuple[Rule, ...]:
    """Return the rules of an `exclude` section."""
    return tuple(_read_rule(item, place.item(i)) for i, item in enumerate(place.sequence(raw)))


def _read_rule(raw: Any, place: Place) -> Rule:
    flat = flatten(raw, place)
    if not flat:
        raise place.error("an empty rule would remove every run", "name the keys and values of the runs to remove")
    return Rule(
        place,
        {without_force(key): _read_condition(key, value, at) for key, (value, at) in flat.items()},
        {without_force(key): at for key, (_, at) in flat.items()},
    )


def _read_condition(key: str, raw: Any, place: Place) -> Condition:
    if isinstance(raw, str) and (comparison := _COMPARISON.fullmatch(raw.strip())):
        return _read_comparison(comparison[1], comparison[2], place)
    if key == "experiment":
        patterns = [str(v) for v in cast("list[Any]", raw)] if isinstance(raw, list) else [str(raw)]
        return lambda fact: any(fnmatchcase(str(fact), pattern) for pattern in patterns)
    allowed = read_choices(raw, place)
    return lambda fact: any(same_value(fact, value) for value in allowed)


def _read_comparison(sign: str, text: str, place: Place) -> Condition:
    try:
        bound = parse_value(text)
    except GrammarError as error:
        raise place.error(f"{describe(text)} is not a valid value: {error}") from error
    if sign == "!=":
        return lambda fact: not same_value(fact, bound)
    if not _is_number(bound):
        raise place.error(f"{describe(text)} is not a number, and {sign} compares numbers")
    compare = _OPERATORS[sign]
    return lambda fact: _is_number(fact) and compare(fact, bound)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same_value(one: Any, other: Any) -> bool:
    """Return whether two plain values are equal: 1 equals 1.0, but not true."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
