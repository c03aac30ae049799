"""`brown_pairs`: whether two passages come from one document of the Brown corpus (Francis and Kučera 1964).

A pair is a passage of the first half of a document, and a passage of the second half of the same document or of another
document of its genre. Every document of a split is the first document of equally many pairs of both kinds, and the two
passages have a random order. So only the texts give the answer. Each split has the same proportions of genres.
"""

import functools
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt64

from s5.catalog import DataError, DatasetInfo, find_files
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import ConversionPlan, StoredArrays, chunk_list
from s5.data.dataset import Dataset
from s5.data.rows import contiguous_splits
from s5.data.split import stratified_split
from s5.data.tokens import CharacterCodec, CharacterCounts, fill_row, vocabulary_id

SEED = 0
N_DOCUMENTS, N_WORDS = 500, 1_161_192
_SHARE_HELD_OUT = 10  # a tenth of the documents is for validation, and another tenth for testing
_PAIRS_PER_CHUNK = 500


@dataclass(frozen=True)
class Passage:
    """A passage of a document.

    Attributes:
        path: The document.
        half: The half of the document, 0 or 1.
        place: The start of the passage in the half: from 0, the start of the half, to 1, the last possible start.
    """

    path: Path
    half: int
    place: float

    def read(self, length: int) -> str:
        """Return the text of the passage, at most `length` characters."""
        text = read_document(self.path)
        middle = len(text) // 2
        start, end = (0, middle) if self.half == 0 else (middle, len(text))
        begin = start + int(self.place * max(end - start - length + 1, 1))
        return text[begin : min(begin + length, end)]


Pair = tuple[Passage, Passage, int]


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Plan the conversion; the pairs of the splits are consecutive."""
    listed = find_files(info.name, root)["cats.txt"]
    genres = _read_genres(listed)
    words = sum(read_document(path).count(" ") + 1 for path in genres)
    if words != N_WORDS:
        raise DataError(
            f"{listed.parent}: {words:,} words in its documents; expected {N_WORDS:,}",
            hint="files have changed; remove the folder and unpack the package again",
        )
    documents = _assign_splits(genres)
    counts = CharacterCounts()
    for path in documents["train"]:
        counts.add(read_document(path))
    pairs = [pair for name, size in info.sizes.items() for pair in _draw(documents[name], genres, size, name)]
    n, vocabulary = len(pairs), counts.vocabulary()
    return ConversionPlan(
        arrays={
            "inputs": ((n, 2, info.length, 1), "uint8"),
            "labels": ((n,), "int32"),
            "lengths": ((n, 2), "int32"),
        },
        chunks=chunk_list(pairs, _PAIRS_PER_CHUNK),
        convert=functools.partial(_convert, length=info.length, vocabulary=vocabulary),
        facts={"vocabulary": vocabulary, "seed": SEED},
        sources=[listed, *genres],
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set; its splits are consecutive in the arrays."""
    del config, compat
    vocabulary = vocabulary_id(stored.facts["vocabulary"])
    return Dataset.from_info(info, contiguous_splits(info.sizes, stored.arrays, tokens=True), vocabulary=vocabulary)


def _read_genres(listed: Path) -> dict[Path, str]:
    """Return the genre of each document."""
    try:
        text = listed.read_bytes().removeprefix(BOM_UTF8).decode("ascii")
        lines = [line.split() for line in text.splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{listed}: not a list of documents: {error.reason}") from error
    wrong = next((line for line in lines if len(line) != 2), None)
    if wrong is not None or len(lines) != N_DOCUMENTS:
        found = f"a line {' '.join(wrong)!r}" if wrong is not None else f"{len(lines)} documents"
        raise DataError(f"{listed}: {found}; expected {N_DOCUMENTS} lines of a document and its genre")
    return {listed.parent / name: genre for name, genre in lines}


@functools.lru_cache(maxsize=N_DOCUMENTS)
def read_document(path: Path) -> str:
    """Return a document's words without their tags, separated by single spaces.

    Raises:
        DataError: If the file is missing, or a word has no tag.
    """
    try:
        words = path.read_bytes().decode("latin-1").split()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint="unpack the package again") from error
    wrong = next((word for word in words if "/" not in word), None)
    if wrong is not None:
        raise DataError(f"{path}: {wrong[:40]!r} is not a word with its tag", hint="the file is damaged; get it again")
    return " ".join(word.rpartition("/")[0] for word in words)


def _assign_splits(genres: Mapping[Path, str]) -> dict[str, list[Path]]:
    """Return the documents of each split, with the same proportions of genres."""
    names, held_out = sorted(set(genres.values())), len(genres) // _SHARE_HELD_OUT
    labels = np.array([names.index(genre) for genre in genres.values()])
    sizes = {"train": len(genres) - 2 * held_out, "val": held_out, "test": held_out}
    paths = list(genres)
    return {name: [paths[k] for k in part] for name, part in stratified_split(labels, sizes, SEED).items()}


def _draw(documents: Sequence[Path], genres: Mapping[Path, str], n: int, split: str) -> Iterator[Pair]:
    """Yield random pairs: all documents in turn, each with itself in one round and with another in the next round."""
    words, others_by_path = _words(split, n), {path: _others(path, documents, genres) for path in documents}
    for k in range(n):
        path, same = documents[k % len(documents)], k // len(documents) % 2
        others = others_by_path[path]
        second = path if same else others[int(words[k, 0] % np.uint64(len(others)))]
        first_place, second_place = (float(word >> np.uint64(11)) * 2.0**-53 for word in words[k, 1:3])
        passages = Passage(path, 0, first_place), Passage(second, 1, second_place)
        turned = int(words[k, 3] >> np.uint64(63))
        yield passages[turned], passages[1 - turned], same


def _others(path: Path, documents: Sequence[Path], genres: Mapping[Path, str]) -> list[Path]:
    """Return the other documents of a document's genre; if there are none, all other documents."""
    others = [other for other in documents if other != path]
    return [other for other in others if genres[other] == genres[path]] or others


def _words(split: str, n: int) -> UInt64[np.ndarray, "n 4"]:
    """Return four random 64-bit words for each pair, from a raw stream that is stable across NumPy versions."""
    stream = ("train", "val", "test").index(split)
    return np.random.Philox(key=np.array([SEED, stream], np.uint64)).random_raw(4 * n).reshape(n, 4)


def _convert(pairs: Sequence[Pair], length: int, vocabulary: list[int]) -> Arrays:
    codec = CharacterCodec(vocabulary)
    inputs = np.zeros((len(pairs), 2, length, 1), np.uint8)
    lengths = np.empty((len(pairs), 2), np.int32)
    for row, pair in enumerate(pairs):
        for document, passage in enumerate(pair[:2]):
            text = codec.encode(passage.read(length - 1))
            lengths[row, document] = fill_row(inputs[row, document, :, 0], text)
    return {"inputs": inputs, "labels": np.array([same for _, _, same in pairs], np.int32), "lengths": lengths}
