"""`imdb`, `imdb_bytes`: the film reviews of Maas et al. 2011, the Long Range Arena's Text.

The characters and their tokens are those of the S5 repository: the training reviews are cut to the length of the
sequences, then their characters are counted. A character that occurs fewer than 15 times becomes `<unk>`. The published
data have no validation split, and the S5 repository validates on the test reviews. Here a tenth of the training reviews
is held out, unless `compat=upstream`.
"""

import functools
import re
from pathlib import Path

import numpy as np

from s5.catalog import DataError, DatasetInfo, find_files
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import Chunk, ConversionPlan, StoredArrays
from s5.data.dataset import Dataset
from s5.data.progress import Progress
from s5.data.rows import contiguous_splits, indexed_splits
from s5.data.split import random_split
from s5.data.tokens import SPECIALS, CharacterCodec, CharacterCounts, fill_row, vocabulary_id

_LEAST = 15  # number of occurrences from which a character has its own token
_KINDS = ("neg", "pos")  # the folders of the classes, in the order of the labels
_REVIEW = re.compile(r"(\d+)_\d+\.txt")
_FILES_PER_CHUNK = 250


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Plan the conversion. Order of the rows: negative, then positive training reviews, then the same for the test."""
    folders = find_files(info.name, root)
    reviews = {name: _reviews(folder, _expected(info, name)) for name, folder in folders.items()}
    names = [f"{split}/{kind}" for split in ("train", "test") for kind in _KINDS]
    chunks: list[Chunk] = []
    for name in names:
        for first in range(0, len(reviews[name]), _FILES_PER_CHUNK):
            paths = reviews[name][first : first + _FILES_PER_CHUNK]
            start = chunks[-1].stop if chunks else 0
            chunks.append(Chunk(start, start + len(paths), (paths, _KINDS.index(name.split("/")[1]))))
    train = [path for name in names[:2] for path in reviews[name]]
    vocabulary = None if info.name == "imdb_bytes" else _vocabulary(info, train)
    return ConversionPlan(
        arrays={
            "inputs": ((info.n_examples, info.length, 1), "uint8"),
            "labels": ((info.n_examples,), "int32"),
            "lengths": ((info.n_examples,), "int32"),
        },
        chunks=chunks,
        convert=functools.partial(_convert, length=info.length, vocabulary=vocabulary),
        facts={"vocabulary": vocabulary},
        sources=list(folders.values()),
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set; with `compat=upstream` val is the test split, and no training review is held out."""
    n_train = info.sizes["train"] + info.sizes["val"]
    if compat.text_validates_on_test:
        sizes = {"train": n_train, "test": info.sizes["test"]}
        splits = contiguous_splits(sizes, stored.arrays, tokens=True)
        splits["val"] = splits["test"]
    else:
        train, val = random_split(n_train, info.sizes["val"], config.split_seed)
        test = np.arange(n_train, info.n_examples)
        splits = indexed_splits({"train": train, "val": val, "test": test}, stored.arrays, tokens=True)
    characters = stored.facts["vocabulary"]
    return Dataset.from_info(
        info, splits, vocabulary="bytes plus 1" if characters is None else vocabulary_id(characters)
    )


def _expected(info: DatasetInfo, name: str) -> int:
    train, test = info.sizes["train"] + info.sizes["val"], info.sizes["test"]
    return (train if name.startswith("train") else test) // len(_KINDS)


def _reviews(folder: Path, expected: int) -> list[Path]:
    """Return the reviews of a folder in the order of their numbers."""
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _REVIEW.fullmatch(path.name))]
    if len(found) != expected:
        raise DataError(
            f"{folder}: {len(found):,} reviews; expected {expected:,}",
            hint="the archive was unpacked incompletely; remove the folder and unpack it again",
        )
    return [path for _, path in sorted(found)]


def _vocabulary(info: DatasetInfo, paths: list[Path]) -> list[int]:
    counts, progress = CharacterCounts(), Progress(f"{info.name}: counting characters", len(paths), "reviews")
    for path in paths:
        counts.add(_text(path)[: info.length - 1])
        progress.advance(1)
    vocabulary = counts.vocabulary(_LEAST)
    if len(vocabulary) + len(SPECIALS) > info.d_input:
        raise DataError(
            f"{info.name}: {len(vocabulary)} characters occur {_LEAST} times or more; expected at most "
            f"{info.d_input - len(SPECIALS)}",
            hint="these are not the published reviews",
        )
    return vocabulary


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error.reason}") from error


def _convert(source: tuple[list[Path], int], length: int, vocabulary: list[int] | None) -> Arrays:
    paths, label = source
    inputs, lengths = np.zeros((len(paths), length, 1), np.uint8), np.empty(len(paths), np.int32)
    codec = None if vocabulary is None else CharacterCodec(vocabulary)
    for row, path in enumerate(paths):
        text = _text(path)
        if codec is None:
            content = np.frombuffer(text.encode()[:length], np.uint8)
            # UTF-8 has no byte 255, so a byte plus one still fits into a byte.
            inputs[row, : len(content), 0] = content + 1
            lengths[row] = len(content)
        else:
            lengths[row] = fill_row(inputs[row, :, 0], codec.encode(text))
    return {"inputs": inputs, "labels": np.full(len(paths), label, np.int32), "lengths": lengths}
