"""`listops`: the Long Range Arena's ListOps, from its three `.tsv` files or made by its procedure.

Source: Tay et al. 2021 (arXiv:2011.04006), §3.1; tokens and lengths as in the S5 repository.
"""

import functools
from collections.abc import Mapping

import numpy as np

from s5.catalog import DataError, DatasetInfo, find_files
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import Chunk, ConversionPlan, StoredArrays, chunk_range
from s5.data.dataset import Dataset
from s5.data.generate.listops import draw_sample
from s5.data.lines import LineRange, chunk_lines
from s5.data.rows import contiguous_splits
from s5.data.tokens import LISTOPS, fill_row

SEED = 0
_FILES = {"train": "basic_train.tsv", "val": "basic_val.tsv", "test": "basic_test.tsv"}
_HEADER = "Source\tTarget"
_TEXT_OF_LISTS = str.maketrans({"(": None, ")": None, "]": "X"})


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Plan the conversion of the published files, or the drawing of samples."""
    arrays = {
        "inputs": ((info.n_examples, info.length, 1), "uint8"),
        "labels": ((info.n_examples,), "int32"),
        "lengths": ((info.n_examples,), "int32"),
    }
    if info.made_by:
        make = functools.partial(_make_rows, length=info.length)
        chunks = chunk_range(info.n_examples, 500)
        return ConversionPlan(arrays=arrays, chunks=chunks, convert=make, facts={"seed": SEED}, finish=_refuse_repeats)
    paths = find_files(info.name, root)
    chunks: list[Chunk] = []
    for split, name in _FILES.items():
        with paths[name].open("rb") as file:
            header = file.readline(1000).rstrip(b"\r\n").decode("utf-8", "replace")
        if header != _HEADER:
            raise DataError(f"{paths[name]}: its first line is {header!r}, not {_HEADER!r}")
        start = chunks[-1].stop if chunks else 0
        chunks += chunk_lines(paths[name], info.sizes[split], start, header=True, size=500)
    convert = functools.partial(_read_rows, length=info.length)
    return ConversionPlan(arrays=arrays, chunks=chunks, convert=convert, facts={}, sources=list(paths.values()))


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set; its splits are consecutive in the arrays."""
    del config, compat
    return Dataset.from_info(info, contiguous_splits(info.sizes, stored.arrays, tokens=True), vocabulary="listops")


def _read_rows(lines: LineRange, length: int) -> Arrays:
    """Convert lines of a published file."""
    arrays = _empty(lines.count, length)
    for row, (number, line) in enumerate(lines.read()):
        where = f"{lines.path}, line {number}"
        source, tab, target = line.partition("\t")
        if not tab or not (len(target) == 1 and target.isdecimal()):
            raise DataError(f"{where}: not a text, a tab and a digit: …{line[-20:]!r}")
        _fill(arrays, row, _tokens(source, where), int(target))
    return arrays


def _tokens(source: str, where: str, numbers: Mapping[str, int] = LISTOPS) -> np.ndarray:
    try:
        return np.array([numbers[symbol] for symbol in source.translate(_TEXT_OF_LISTS).split()], np.uint8)
    except KeyError as error:
        raise DataError(f"{where}: {error.args[0]!r} is not a symbol of ListOps") from error


def _make_rows(indices: range, length: int) -> Arrays:
    """Draw the samples with the given indices."""
    arrays = _empty(len(indices), length)
    for row, index in enumerate(indices):
        tokens, value = draw_sample(SEED, index)
        _fill(arrays, row, np.frombuffer(tokens, np.uint8), value)
    return arrays


def _empty(n: int, length: int) -> Arrays:
    return {
        "inputs": np.zeros((n, length, 1), np.uint8),
        "labels": np.empty(n, np.int32),
        "lengths": np.empty(n, np.int32),
    }


def _fill(arrays: Arrays, row: int, tokens: np.ndarray, label: int) -> None:
    arrays["labels"][row] = label
    arrays["lengths"][row] = fill_row(arrays["inputs"][row, :, 0], tokens)


def _refuse_repeats(arrays: Arrays) -> Mapping[str, object]:
    """Raise if two trees are equal. The procedure keeps only different ones; independent draws almost never repeat."""
    trees = {row.tobytes() for row in arrays["inputs"]}
    if len(trees) != len(arrays["inputs"]):
        raise DataError(f"{len(arrays['inputs']) - len(trees)} trees were drawn twice; choose another seed")
    return {}
