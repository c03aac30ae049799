"""Random trees of list operations. Source: Nangia and Bowman 2018 (arXiv:1804.06028), as in the Long Range Arena.

With probability 1/4 a node is an operator with 2 to 10 arguments, else a digit. Nodes at the greatest depth are digits.
Trees of more than 500 and fewer than 2,000 symbols are kept; parentheses are not counted.
"""

import itertools
import random
from collections.abc import Callable

from s5.data.tokens import LISTOPS

MAX_DEPTH = 10
MIN_ARGUMENTS, MAX_ARGUMENTS = 2, 10
P_OPERATOR = 0.25
MIN_LENGTH, MAX_LENGTH = 500, 2_000  # both excluded

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")

_DIGITS = [LISTOPS[str(digit)] for digit in range(10)]
_OPERATORS = [LISTOPS[operator] for operator in OPERATORS]
_CLOSE = LISTOPS["X"]


class _TooLong(Exception):
    """The tree has more symbols than a sample may have."""


def draw_sample(seed: int, index: int) -> tuple[bytes, int]:
    """Draw a sample; it depends only on the seed and the index.

    Args:
        seed: The seed of the data set.
        index: The number of the sample, from 0.

    Returns:
        The tokens of the tree without `<eos>`, and the value of the tree.
    """
    for attempt in itertools.count():
        # Each attempt has its own stream, so an attempt that ends early does not change the next attempt.
        # Of Python's generator only the numbers of `Random.random` are stable across versions.
        # One is added to the seed, since a key with leading zeros is shorter and may give the same stream as another.
        draw = random.Random((seed + 1) << 96 | index << 32 | attempt).random
        tokens = bytearray()
        try:
            value = _draw_node(draw, 1, tokens)
        except _TooLong:
            continue
        if len(tokens) > MIN_LENGTH:
            return bytes(tokens), value
    raise AssertionError("itertools.count does not end")


def _draw_node(draw: Callable[[], float], depth: int, tokens: bytearray) -> int:
    """Draw a node, append its tokens, and return its value."""
    if depth >= MAX_DEPTH or draw() > P_OPERATOR:
        digit = int(10 * draw())
        tokens.append(_DIGITS[digit])
        return digit
    place = len(tokens)
    tokens.append(0)  # the operator is drawn after its arguments
    count = MIN_ARGUMENTS + int((MAX_ARGUMENTS - MIN_ARGUMENTS + 1) * draw())
    values = [_draw_node(draw, depth + 1, tokens) for _ in range(count)]
    operator = int(len(OPERATORS) * draw())
    tokens[place] = _OPERATORS[operator]
    tokens.append(_CLOSE)
    if len(tokens) >= MAX_LENGTH:
        raise _TooLong
    return apply_operator(OPERATORS[operator], values)


def apply_operator(operator: str, values: list[int]) -> int:
    """Return the value of an operator: minimum, maximum, median rounded down to a whole number, or sum modulo 10."""
    match operator:
        case "[MIN":
            return min(values)
        case "[MAX":
            return max(values)
        case "[SM":
            return sum(values) % 10
        case _:
            ordered, middle = sorted(values), len(values) // 2
            return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) // 2
