"""Tokens: the numbering of symbols, and the encoding of texts as rows of tokens that end with `<eos>`."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Integer, UInt8

from s5.catalog import DataError

UNK, EOS = 1, 2  # 0 is padding
_CODES = 0x110000  # code points of Unicode
SPECIALS = ("<pad>", "<unk>", "<eos>")

# `X` closes a list, in place of `]` in the published text, which tokenizers treat specially.
_LISTOPS_SYMBOLS = ("[MIN", "[MAX", "[MED", "[SM", "X", *map(str, range(10)))

LISTOPS: Mapping[str, int] = {symbol: number for number, symbol in enumerate((*SPECIALS, *_LISTOPS_SYMBOLS))}


class CharacterCounts:
    """The number of occurrences of each character in the training texts."""

    def __init__(self) -> None:
        self._counts = np.zeros(_CODES, np.int64)

    def add(self, text: str) -> None:
        """Count the characters of a text."""
        found, counts = np.unique(code_points(text), return_counts=True)
        self._counts[found] += counts

    def vocabulary(self, least: int = 1) -> list[int]:
        """Return the code points that get a token of their own, the most frequent first.

        Args:
            least: The smallest number of occurrences.

        Returns:
            The code points; equally frequent code points are in ascending order.

        Raises:
            DataError: If there are too many code points for tokens of one byte.
        """
        codes = np.flatnonzero(self._counts >= least)
        if len(codes) + len(SPECIALS) > 256:
            raise DataError(
                f"{len(codes)} different characters; at most {256 - len(SPECIALS)} can be stored as bytes",
                hint="these are not the published texts",
            )
        return codes[np.argsort(-self._counts[codes], kind="stable")].tolist()


class CharacterCodec:
    """Encodes characters as token numbers.

    Args:
        vocabulary: The code points with a token of their own; their numbers follow those of the special tokens.
    """

    def __init__(self, vocabulary: Iterable[int]) -> None:
        codes = np.fromiter(vocabulary, np.int64)
        self._table = np.full(_CODES, UNK, np.uint8)
        self._table[codes] = np.arange(len(SPECIALS), len(SPECIALS) + len(codes))

    def encode(self, text: str) -> UInt8[np.ndarray, " length"]:
        """Return the token of each character."""
        return self._table[code_points(text)]


def vocabulary_id(vocabulary: Iterable[int]) -> str:
    """Return a unique name of a vocabulary of characters: a hash of its code points in order."""
    return f"characters {hashlib.sha256(repr(list(vocabulary)).encode()).hexdigest()[:16]}"


def code_points(text: str) -> Integer[np.ndarray, " length"]:
    """Return the code point of each character."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def fill_row(row: UInt8[np.ndarray, " L"], tokens: UInt8[np.ndarray, " length"]) -> int:
    """Write tokens and then `<eos>` into a row of padding; tokens that do not fit are left out.

    Returns:
        The number of valid steps of the row.
    """
    kept = min(len(tokens), len(row) - 1)
    row[:kept] = tokens[:kept]
    row[kept] = EOS
    return kept + 1
