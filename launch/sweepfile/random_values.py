"""Draw seeded random values that are equal on every machine and with every Python version.

Each value is computed from a hash of (seed, key, index), not by a generator whose algorithm could change. So a sweep
keeps its points if `count` grows, and keeps the values of the other keys if a key is added.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from launch.grammar import Choices, GrammarError, Interval, parse_value
from launch.sweepfile.values import read_choices, read_value
from launch.yaml_file import Place, describe

# A drawn float is rounded to this many digits, since the last bits of exp() and log() differ between C libraries.
SIGNIFICANT_DIGITS = 6
_INTERVALS = {
    # name: (log, whole)
    "uniform": (False, False),
    "log_uniform": (True, False),
    "integers": (False, True),
    "log_integers": (True, True),
}
DISTRIBUTIONS = (*_INTERVALS, "choice")


def read_distribution(raw: Any, place: Place) -> Choices | Interval:
    """Return the distribution or the choices that a random value is drawn from.

    Args:
        raw: `{uniform: [low, high]}` or another of `DISTRIBUTIONS`, a list to choose from, or a text in Hydra's
            grammar such as `interval(0,1)`, `tag(log,interval(1e-4,1))`, `choice(a,b)`.
        place: The place in the file.

    Raises:
        SweepError: If `raw` has another form, or its bounds are not valid.
    """
    if not isinstance(raw, dict):
        return _from_grammar(raw, place)
    values = place.mapping(raw)
    place.known_keys(values, DISTRIBUTIONS)
    if len(values) != 1:
        raise place.error(f"one distribution is needed, not {len(values)}", f"one of {', '.join(DISTRIBUTIONS)}")
    (name, arguments), at = next(iter(values.items())), place.key(next(iter(values)))
    if name == "choice":
        return Choices(tuple(read_choices(arguments, at)))
    log, whole = _INTERVALS[name]
    bounds = at.sequence(arguments)
    if len(bounds) != 2:
        raise at.error(f"two bounds [low, high] are needed, not {len(bounds)}")
    low, high = (_bound(read_value(bound, at.item(i)), at.item(i), whole) for i, bound in enumerate(bounds))
    return _checked(Interval(low, high, log, whole), at)


def _from_grammar(raw: Any, place: Place) -> Choices | Interval:
    if isinstance(raw, str):
        try:
            value = parse_value(raw)
        except GrammarError as error:
            raise place.error(f"{describe(raw)} is not a valid value: {error}") from error
        if isinstance(value, Interval):
            return _checked(value, place)
    return Choices(tuple(read_choices(raw, place)))


def _bound(value: Any, place: Place, whole: bool) -> float:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise place.error(f"{describe(value)} is not a {'whole ' if whole else ''}number")
    return value


def _checked(interval: Interval, place: Place) -> Interval:
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        raise place.error(f"the bounds {interval.low} and {interval.high} must be finite numbers")
    if interval.low > interval.high:
        raise place.error(f"the lower bound {interval.low} lies above the upper bound {interval.high}")
    if interval.log and interval.low <= 0:
        raise place.error(f"the lower bound {interval.low} of a logarithmic range must be above 0")
    return interval


def draw(distribution: Choices | Interval, seed: int, key: str, index: int) -> Any:
    """Return the value of `key` in the point number `index`; a float has `SIGNIFICANT_DIGITS` digits."""
    digest = hashlib.sha256(f"{seed}\n{key}\n{index}".encode()).digest()
    u = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    if isinstance(distribution, Choices):
        return distribution.values[math.floor(u * len(distribution.values))]
    low, high = distribution.low, distribution.high
    top = high + 1 if distribution.whole else high
    value = low * math.exp(u * math.log(top / low)) if distribution.log else low + u * (top - low)
    if distribution.whole:
        return int(min(max(math.floor(round(value, 6)), low), high))
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)
