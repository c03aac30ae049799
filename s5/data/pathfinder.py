"""`pathfinder32`, …: pictures of two dots and dashed lines, of the Long Range Arena or generated. 128x128 is Path-X.

A folder contains `imgs/<batch>/sample_<i>.png` and `metadata/<batch>.npy`. In spite of the suffix, the published
metadata are text with a line of eleven words for each picture. The published program writes NumPy files of these words.
"""

import functools
import io
import math
import warnings
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s5.catalog import DataError, DatasetInfo, find_files
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import ConversionPlan, StoredArrays, chunk_list, chunk_range
from s5.data.dataset import Dataset
from s5.data.generate.pathfinder import draw_picture
from s5.data.pictures import read_grey
from s5.data.rows import indexed_splits
from s5.data.split import random_splits

SEED = 0
_N_WORDS, _FOLDER, _NAME, _LABEL = 11, 0, 1, 3
_PICTURES_PER_CHUNK = 500
_HALF_SCALE = 127.5  # maps 0 to -1 and 255 to 1


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Plan the conversion of the published pictures, in the order of their batches, or the generation of pictures."""
    if info.made_by:
        return _plan_drawing(info)
    folders = find_files(info.name, root)
    imgs, metadata = (path for _, path in sorted(folders.items()))
    pictures = _list_pictures(imgs.parent, metadata, info.n_examples)
    whole = [(path, label) for path, label in pictures if path.stat().st_size]
    skipped = len(pictures) - len(whole)
    side = math.isqrt(info.length)
    return ConversionPlan(
        arrays={"inputs": ((len(whole), info.length, 1), "uint8"), "labels": ((len(whole),), "int32")},
        chunks=chunk_list(whole, _PICTURES_PER_CHUNK),
        convert=functools.partial(_convert, side=side),
        facts={"skipped": skipped},
        sources=list(folders.values()),
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set; val and test are each a random tenth of the pictures, by `split_seed`."""
    del compat
    if stored.facts.get("skipped"):
        warnings.warn(f"{info.name}: {stored.facts['skipped']} pictures are empty files and were skipped", stacklevel=2)
    arrays = stored.arrays
    held_out = {name: info.sizes[name] for name in ("val", "test")}
    parts = random_splits(len(arrays["labels"]), held_out, config.split_seed)
    splits = indexed_splits(parts, arrays, full_scale=_HALF_SCALE, offset=_HALF_SCALE)
    return Dataset.from_info(info, splits)


def _plan_drawing(info: DatasetInfo) -> ConversionPlan:
    n, side = info.n_examples, math.isqrt(info.length)
    return ConversionPlan(
        arrays={"inputs": ((n, info.length, 1), "uint8"), "labels": ((n,), "int32")},
        chunks=chunk_range(n, 20 if side > 32 else 500),
        convert=functools.partial(_draw, side=side),
        facts={"seed": SEED},
    )


def _draw(indices: range, side: int) -> Arrays:
    drawn = [draw_picture(side, SEED, index) for index in indices]
    return {
        "inputs": np.stack([picture.reshape(-1, 1) for picture, _ in drawn]),
        "labels": np.array([label for _, label in drawn], np.int32),
    }


def _list_pictures(folder: Path, metadata: Path, expected: int) -> list[tuple[Path, int]]:
    """Return the path and the label of every picture."""
    files = sorted((path for path in metadata.glob("*.npy") if path.stem.isdecimal()), key=lambda path: int(path.stem))
    pictures = [picture for file in files for picture in _read_metadata(folder, file)]
    if len(pictures) != expected:
        raise DataError(
            f"{metadata}: lists {len(pictures):,} pictures; expected {expected:,}",
            hint="the archive was unpacked incompletely; remove the folder and unpack it again",
        )
    missing = next((path for path, _ in pictures if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"{missing}: missing, although {metadata} lists it")
    return pictures


def _read_metadata(folder: Path, file: Path) -> list[tuple[Path, int]]:
    content = file.read_bytes()
    try:
        if content.startswith(b"\x93NUMPY"):
            table = np.load(io.BytesIO(content), allow_pickle=False)
            rows = [[word.decode() if isinstance(word, bytes) else str(word) for word in row] for row in table]
        else:
            text = content.removeprefix(BOM_UTF8).decode("ascii")
            rows = [line.split() for line in text.splitlines() if line.strip()]
    except (ValueError, EOFError) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(f"{file}: neither text nor a NumPy file of words: {error}") from error
    return [_picture(folder, file, number, row) for number, row in enumerate(rows, 1)]


def _picture(folder: Path, file: Path, number: int, row: Sequence[str]) -> tuple[Path, int]:
    if len(row) != _N_WORDS or row[_LABEL] not in ("0", "1"):
        raise DataError(
            f"{file}, line {number}: {' '.join(row)[:80]!r}; expected {_N_WORDS} words, the fourth is 0 or 1"
        )
    return folder / row[_FOLDER] / row[_NAME], int(row[_LABEL])


def _convert(pictures: Sequence[tuple[Path, int]], side: int) -> Arrays:
    inputs = np.stack([read_grey(path, side).reshape(-1, 1) for path, _ in pictures])
    return {"inputs": inputs, "labels": np.array([label for _, label in pictures], np.int32)}
