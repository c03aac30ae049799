"""`aan`: the Long Range Arena's Retrieval: whether one of two papers cites the other, from their texts.

Source: Radev et al. 2013; Tay et al. 2021 (arXiv:2011.04006), §3.3. A line of a file has a label, two names and two
texts, separated by tabs, without header or quoting. Characters are numbered as in the S5 repository.
"""

import functools
import warnings
from collections.abc import Iterable, Iterator

import numpy as np

from s5.catalog import DataError, DatasetInfo, find_files
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import Chunk, ConversionPlan, StoredArrays
from s5.data.dataset import Dataset
from s5.data.lines import LineRange, chunk_lines
from s5.data.progress import Progress
from s5.data.rows import contiguous_splits
from s5.data.tokens import SPECIALS, CharacterCodec, CharacterCounts, fill_row, vocabulary_id

_FILES = {"train": "new_aan_pairs.train.tsv", "val": "new_aan_pairs.eval.tsv", "test": "new_aan_pairs.test.tsv"}
_LABELS = {"0.0": 0, "1.0": 1, "0": 0, "1": 1}
_LINES_PER_CHUNK = 500


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Plan the conversion of the published files."""
    paths = find_files(info.name, root)
    chunks: list[Chunk] = []
    for split, name in _FILES.items():
        start = chunks[-1].stop if chunks else 0
        chunks += chunk_lines(paths[name], info.sizes[split], start, header=False, size=_LINES_PER_CHUNK)
    n_train = info.sizes["train"]
    vocabulary = _vocabulary(info, (chunk.source for chunk in chunks if chunk.stop <= n_train), n_train)
    return ConversionPlan(
        arrays={
            "inputs": ((info.n_examples, 2, info.length, 1), "uint8"),
            "labels": ((info.n_examples,), "int32"),
            "lengths": ((info.n_examples, 2), "int32"),
        },
        chunks=chunks,
        convert=functools.partial(_convert, length=info.length, vocabulary=vocabulary),
        facts={"vocabulary": vocabulary},
        sources=list(paths.values()),
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set; its splits are consecutive in the arrays."""
    del config, compat
    characters = stored.facts["vocabulary"]
    d_input = len(characters) + len(SPECIALS)
    if d_input != info.d_input:
        warnings.warn(f"{info.name}: {d_input} different tokens; expected {info.d_input}", stacklevel=2)
    splits = contiguous_splits(info.sizes, stored.arrays, tokens=True)
    return Dataset.from_info(info, splits, d_input, vocabulary=vocabulary_id(characters))


def _vocabulary(info: DatasetInfo, pieces: Iterable[LineRange], total: int) -> list[int]:
    counts, progress = CharacterCounts(), Progress(f"{info.name}: counting characters", total, "pairs")
    for piece in pieces:
        for _, *texts in _pairs(piece):
            counts.add("".join(text[: info.length - 1] for text in texts))
            progress.advance(1)
    return counts.vocabulary()


def _pairs(lines: LineRange) -> Iterator[tuple[int, str, str]]:
    """Yield the label and the two texts of each line."""
    for number, line in lines.read():
        columns = line.split("\t")
        if len(columns) != 5 or columns[0] not in _LABELS:
            raise DataError(
                f"{lines.path}, line {number}: {len(columns)} columns, the first is {columns[0][:20]!r}; "
                "expected 5: the label 0.0 or 1.0, two names, two texts"
            )
        yield _LABELS[columns[0]], columns[3], columns[4]


def _convert(lines: LineRange, length: int, vocabulary: list[int]) -> Arrays:
    codec = CharacterCodec(vocabulary)
    inputs = np.zeros((lines.count, 2, length, 1), np.uint8)
    labels, lengths = np.empty(lines.count, np.int32), np.empty((lines.count, 2), np.int32)
    for row, (label, *texts) in enumerate(_pairs(lines)):
        labels[row] = label
        for document, text in enumerate(texts):
            lengths[row, document] = fill_row(inputs[row, document, :, 0], codec.encode(text))
    return {"inputs": inputs, "labels": labels, "lengths": lengths}
