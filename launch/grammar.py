"""Parse texts in Hydra's override grammar to plain values, and format plain values as such texts.

Hydra's own `OverridesParser` parses each text once. Only plain numbers and words, which are nearly all texts in a large
sweep, are parsed by regular expressions, which is a hundred times faster. A test checks that both give equal values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cache, lru_cache
from itertools import islice
from typing import Any, cast

MAX_CHOICES = 100_000
MAX_KEY = 200  # a key names a file too: a config group and its choice
MAX_DIGITS = 300  # more digits than a float can have before it is infinite
_MAX_DEPTH = 50
_MAX_TEXT = 10_000  # Hydra's parser takes seconds for a longer text

_INT = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)")
_FLOAT = re.compile(
    r"[+-]?(?:(?:0|[1-9](?:_?[0-9])*)\.|(?:0|[1-9](?:_?[0-9])*)?\.[0-9](?:_?[0-9])*"
    r"|(?:(?:0|[1-9](?:_?[0-9])*)\.?|(?:0|[1-9](?:_?[0-9])*)?\.[0-9](?:_?[0-9])*)[eE][+-]?[0-9](?:_?[0-9])*)"
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_/.-]*")
_RESERVED = frozenset({"true", "false", "null", "inf", "nan"})
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*")
_KEY = re.compile(r"(?:\+\+|\+|~)?[A-Za-z_][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*(?:@[A-Za-z0-9_.:-]+)?")
_SECRET = re.compile(r"(?:^|_)(?:api_?key|token|password|passwd|secret)$", re.IGNORECASE)


class GrammarError(ValueError):
    """Raised for a text that is not in the grammar, or that uses a feature which sweep files do not support."""


class Change(Enum):
    """The effect of an override on its key."""

    SET = ""
    ADD = "+"
    FORCE_ADD = "++"
    DELETE = "~"


@dataclass(frozen=True)
class Override:
    """One override `key=value`.

    Attributes:
        change: The effect of the override.
        key: The dotted path or config group, without prefix and package.
        package: Hydra's package of the group, the text after `@`; None without one.
        value: A plain value, `Choices` or `Interval`.
        text: The override as it was written.
    """

    change: Change
    key: str
    package: str | None
    value: Any
    text: str


@dataclass(frozen=True)
class Choices:
    """A list of values to choose from: `a,b`, `choice(a,b)`, `range(1,5)`, `sort(…)`."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Interval:
    """A range of numbers to draw from: `interval(0,1)`, `tag(log,interval(1e-4,1))`, `int(interval(1,8))`."""

    low: float
    high: float
    log: bool
    whole: bool


@cache
def _parser() -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser  # takes 0.15 s, so only if it is needed

    parser: Any = OverridesParser.create()
    functions: dict[str, Callable[..., Any]] = parser.functions.functions
    functions |= {"shuffle": _refuse_shuffle, "sort": _sorted_by(functions["sort"])}
    return parser


def _refuse_shuffle(*_: Any, **__: Any) -> Any:
    raise GrammarError("shuffle() is not supported, since runs keep the order of the file; remove it")


def _sorted_by(sort: Callable[..., Any]) -> Callable[..., Any]:
    """Return Hydra's `sort`, but for ranges that are enumerated first: Hydra 1.3 changes the values when it sorts."""
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    def listed(value: Any) -> Any:
        return ChoiceSweep(list=list(_range_values(value))) if isinstance(value, RangeSweep) else value

    return lambda *args, **named: sort(*map(listed, args), **{name: listed(value) for name, value in named.items()})


def _range_values(found: Any) -> tuple[int | float, ...]:
    """Return the values of a range that Hydra parsed; decimal ones as written: 0.1 + 2 * 0.1 is 0.3.

    Raises:
        GrammarError: If the range has no end, or too many values.
    """
    start, stop, step = found.start, found.stop, found.step
    if not all(map(math.isfinite, (start, stop, step))):
        raise GrammarError("a range needs a start, a stop and a step that are finite numbers")
    if step == 0:
        raise GrammarError(
            "the step of a range is 0; int(range(…)) rounds the start, the stop and the step, so list whole numbers"
        )
    # The shortest text of a float is the one that was written, or equal to it.
    first, last, width = (Fraction(repr(value)) for value in (start, stop, step))
    count = max(0, math.ceil((last - first) / width))
    if count > MAX_CHOICES:
        raise GrammarError(f"more than {MAX_CHOICES} values")
    values = (first + number * width for number in range(count))
    if all(isinstance(value, int) for value in (start, stop, step)):
        return tuple(int(value) for value in values)
    return tuple(float(value) for value in values)


def parse_value(text: str) -> Any:
    """Return the value of a text as Hydra parses it: a plain value, `Choices` or `Interval`.

    Args:
        text: The text, such as `1e-3`, `choice(a,b)`, `[1,2]`, `'two words'`.

    Raises:
        GrammarError: If the text is not in the grammar.
    """
    if _INT.fullmatch(text):
        return _whole(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _WORD.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return _parse(f"x={text}").value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise GrammarError(f"a number of {len(text):,} digits; at most {MAX_DIGITS} are allowed")
    return int(text)


def parse_override(text: str) -> Override:
    """Parse a whole override, such as `optim.lr=1e-3`.

    Raises:
        GrammarError: If the text is not in the grammar.
    """
    key, equals, value = text.partition("=")
    if equals and _PLAIN_KEY.fullmatch(key):
        return Override(Change.SET, key, None, parse_value(value), text)
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Override:
    """Parse an override with Hydra's own parser."""
    if len(text) > _MAX_TEXT:
        raise GrammarError(f"a text of {len(text):,} characters; at most {_MAX_TEXT:,} are allowed")
    if "\0" in text:
        raise GrammarError("no value may have a NUL character")
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException

    try:
        found = _parser().parse_override(text)
        value = _plain(found)
    except (HydraException, ArithmeticError, ValueError, RecursionError) as error:
        if isinstance(error, GrammarError):
            raise
        if isinstance(error.__cause__, GrammarError):  # of a function of ours, which Hydra's parser called
            raise error.__cause__ from None
        lines = str(error).strip().splitlines()
        raise GrammarError(lines[0] if lines else type(error).__name__) from error
    changes = {
        OverrideType.CHANGE: Change.SET,
        OverrideType.ADD: Change.ADD,
        OverrideType.FORCE_ADD: Change.FORCE_ADD,
        OverrideType.DEL: Change.DELETE,
    }
    return Override(changes[found.type], found.key_or_group, found.package, value, text)


def _plain(found: Any) -> Any:
    """Return the value of an override that Hydra parsed, as a plain value, `Choices` or `Interval`."""
    from hydra.core.override_parser.types import Glob, IntervalSweep, RangeSweep, Transformer

    value = found._value
    if isinstance(value, Glob):
        raise GrammarError("glob() is not supported here; list the values")
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None and high is not None, "Hydra's grammar gives an interval two ends"
        return Interval(float(low), float(high), "log" in value.tags, isinstance(low, int) and isinstance(high, int))
    if isinstance(value, RangeSweep):
        return Choices(_range_values(value))
    if not found.is_sweep_override():
        return _element(value)
    values = tuple(_element(v) for v in islice(found.sweep_iterator(Transformer.identity), MAX_CHOICES + 1))
    if len(values) > MAX_CHOICES:
        raise GrammarError(f"more than {MAX_CHOICES} values")
    return Choices(values)


def _element(value: Any, depth: int = 1) -> Any:
    """Return one value that Hydra parsed as a plain value; `depth` is how many lists and mappings are around it."""
    from hydra.core.override_parser.types import QuotedString, Sweep

    if depth > _MAX_DEPTH:
        raise GrammarError(f"lists in lists of more than {_MAX_DEPTH} levels")
    match value:
        case QuotedString():
            return value.text
        case int() if abs(value) >= 10**MAX_DIGITS:
            raise GrammarError(f"a number of more than {MAX_DIGITS} digits")
        case Sweep():
            raise GrammarError("choice(), range() and similar functions cannot stand inside a list or mapping")
        case list():
            return [_element(v, depth + 1) for v in cast("list[Any]", value)]
        case dict():
            return {_element(k): _element(v, depth + 1) for k, v in cast("dict[Any, Any]", value).items()}
        case _:
            return value


def format_value(value: Any) -> str:
    """Return the text of a plain value; `parse_value` parses it to an equal value.

    Raises:
        GrammarError: If the grammar has no text for the value.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            return value if _WORD.fullmatch(value) and value.lower() not in _RESERVED else _quote(value)
        case list() | tuple():
            return "[" + ",".join(format_value(v) for v in cast("Sequence[Any]", value)) + "]"
        case dict():
            items = cast("dict[Any, Any]", value).items()
            return "{" + ",".join(f"{_format_key(k)}:{format_value(v)}" for k, v in items) + "}"
        case _:
            raise GrammarError(f"{value!r} is neither text, a number, true, false, null, a list nor a mapping")


def _format_key(key: Any) -> str:
    if isinstance(key, str) and _WORD.fullmatch(key) and key.lower() not in _RESERVED:
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise GrammarError(f"the key {key!r} of a mapping is not a plain word")


def _quote(text: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()


def key_problem(key: str) -> tuple[str, str | None] | None:
    """Return the problem with the key of an override (with prefix and package) and a hint; None if it is valid."""
    if len(key) > MAX_KEY:
        return f"a key of {len(key):,} characters; at most {MAX_KEY} are allowed", None
    if not _KEY.fullmatch(key):
        return "not a key of Hydra's override grammar", "write it as a dotted path, such as optim.lr"
    bare = key.lstrip("+~").partition("@")[0]
    if bare == "hydra" or bare.startswith(("hydra.", "hydra/")):
        return "Hydra's own settings are not part of a run", None
    if looks_secret(bare.rpartition(".")[2]):
        return (
            "looks like a secret, and overrides are stored in run.json, where everybody can read them",
            "put it in the environment of the machine instead; W&B reads ~/.netrc",
        )
    return None


def looks_secret(name: str) -> bool:
    """Return whether a key or variable looks like a secret by its name, such as `WANDB_API_KEY` or `password`."""
    return _SECRET.search(name) is not None
