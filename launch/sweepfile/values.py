"""Convert the YAML values of a sweep file to plain values; each text is parsed with Hydra's override grammar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from launch.grammar import Choices, GrammarError, Interval, format_value, key_problem, parse_value
from launch.yaml_file import Place, describe


def _quote_hint(text: str) -> str:
    """Return a hint that shows a text quoted twice, for Hydra and for YAML, so that it is used unchanged."""
    shown = json.dumps(format_value(text), ensure_ascii=False)  # JSON's double quotes are valid in YAML
    return f"a text is read as on Hydra's command line; put quotes inside the quotes to take it as it is: {shown}"


def read_value(raw: Any, place: Place) -> Any:
    """Return one plain value; raise if the text means several values, or is not valid."""
    value = _parse(raw, place)
    if isinstance(value, Choices | Interval):
        hint = "several values belong under grid, zip or random"
        hint += f"; {_quote_hint(raw)}" if isinstance(raw, str) else ""
        raise place.error(f"{describe(raw)} is more than one value", hint)
    return value


def read_choices(raw: Any, place: Place) -> list[Any]:
    """Return the values of an axis: a YAML list, or a text such as `choice(a,b)` or `range(1,5)`, or one value.

    Raises:
        SweepError: If the list is empty, or a value appears twice or is not valid.
    """
    if isinstance(raw, list):
        items = cast("list[Any]", raw)
        values = [read_value(item, place.item(i)) for i, item in enumerate(items)]
    else:
        value = _parse(raw, place)
        if isinstance(value, Interval):
            raise place.error(f"{describe(raw)} has infinitely many values", "an interval belongs under random.values")
        values = list(value.values) if isinstance(value, Choices) else [value]
    if not values:
        raise place.error("the list of values is empty", "give it at least one value, or leave the key out")
    seen: set[str] = set()
    for value in values:
        if (text := format_value(value)) in seen:
            raise place.error(f"the value {text} is listed twice")
        seen.add(text)
    return values


def _parse(raw: Any, place: Place) -> Any:
    """Return a plain value, or the Choices or Interval that a text means."""
    if raw is None or isinstance(raw, bool | int | float):
        return raw
    if isinstance(raw, str):
        try:
            return parse_value(raw)
        except GrammarError as error:
            raise place.error(f"{describe(raw)} is not a valid value: {error}", _quote_hint(raw)) from error
    if isinstance(raw, list):
        return [read_value(item, place.item(i)) for i, item in enumerate(cast("list[Any]", raw))]
    if isinstance(raw, dict):
        raise place.error("a mapping must be written as text here", 'put it in quotes, such as "{a:1}"')
    raise place.error(f"{describe(raw)} is neither text, a number, true, false, null nor a list")


def flatten(raw: Any, place: Place, *, deep: bool = True) -> dict[str, tuple[Any, Place]]:
    """Return the raw value and place of each key, by its dotted path: `optim: {lr: 1}` is `optim.lr: 1`.

    Without `deep` an inner mapping is a value, not a part of the path.

    Returns:
        Key to raw value and place, in the order of the file.

    Raises:
        SweepError: If `raw` is not a mapping, or a key appears twice or is not valid in Hydra's grammar.
    """
    flat: dict[str, tuple[Any, Place]] = {}
    spelt: dict[str, str] = {}
    for key, value, at, spelling in _walk("", raw, place, deep, "{}"):
        if problem := key_problem(key):
            raise at.error(*problem)
        if key in flat:
            raise at.error(f"{key} appears twice, as `{spelt[key]}` and as `{spelling}`", "take one of the two out")
        flat[key], spelt[key] = (value, at), spelling
    return flat


def _walk(prefix: str, raw: Any, place: Place, deep: bool, around: str) -> Iterator[tuple[str, Any, Place, str]]:
    """Yield path, value, place and spelling of every key; `around` is how to spell the outer keys around `{}`."""
    for key, value in place.mapping(raw).items():
        if deep and isinstance(value, dict) and value and not key.startswith("~"):
            inside = around.replace("{}", f"{key}: {{{{}}}}")
            yield from _walk(f"{prefix}{key}.", value, place.key(key), deep, inside)
        else:
            yield f"{prefix}{key}", value, place.key(key), around.replace("{}", f"{key}: …")


def without_force(key: str) -> str:
    """Return the key of an override without its prefix `+`, `++` or `~`."""
    return key.lstrip("+~")


def override_text(key: str, value: Any, place: Place) -> str:
    """Return the override `key=value`, or `~key` for a deletion."""
    if key.startswith("~"):
        return key
    try:
        return f"{key}={format_value(value)}"
    except GrammarError as error:
        raise place.error(str(error)) from error
