"""`pendulum`: the angle of a pendulum, from noisy pictures at irregular times. Source: Smith et al. 2023, §6.3.

Of the 100 frames of a sequence, 50 random frames are kept, with the seeds of the S5 repository. `pendulum` is generated
by this code; `pendulum_npz` is read from a file of the same data that the published scripts write.
"""

import functools
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Int

from s5.catalog import DataError, DatasetInfo, find_files
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import Chunk, ConversionPlan, StoredArrays
from s5.data.dataset import Dataset, Split
from s5.data.generate.pendulum import N_FRAMES, SIDE, Sequences, draw_pictures, draw_set
from s5.data.progress import Progress

# The splits in the order in which they are drawn, each with the seed of its generator.
_SETS = (("train", 42), ("test", 42), ("val", 43))
_SEQUENCES_PER_CHUNK = 40
_FILE, _NAMES = "pend_regression.npz", {"train": "train", "val": "valid", "test": "test"}


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Simulate all pendulums, which takes seconds, and plan the drawing of their pictures; or plan reading the file."""
    n, length = info.n_examples, info.length
    arrays = {
        "inputs": ((n, length, SIDE * SIDE), "uint8"),
        "labels": ((n, length, 2), "float32"),
        "times": ((n, length), "float32"),
    }
    if not info.made_by:
        return _plan_reading(info, find_files(info.name, root)[_FILE], arrays)
    starts, row = {}, 0
    for name, size in info.sizes.items():
        starts[name], row = row, row + size
    generators = {seed: np.random.RandomState(seed) for _, seed in _SETS}
    progress = Progress(f"{info.name}: simulating", row, "pendulums")
    chunks: list[Chunk] = []
    for name, seed in _SETS:
        first = 0
        for sequences in draw_set(generators[seed], info.sizes[name], _SEQUENCES_PER_CHUNK):
            count = len(sequences.angles)
            kept = np.stack([kept_frames(name, first + k, info.sizes[name], length) for k in range(count)])
            chunks.append(Chunk(starts[name] + first, starts[name] + first + count, (sequences, kept)))
            first += count
            progress.advance(count)
    return ConversionPlan(
        arrays=arrays,
        chunks=chunks,
        convert=_convert,
        facts={"seeds": {name: seed for name, seed in _SETS}},
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set: a step is a picture with pixels of 0 to 1; a target is the sine and cosine of the angle."""
    del config, compat
    arrays, splits, start = stored.arrays, {}, 0
    for name, size in info.sizes.items():
        rows = slice(start, start + size)
        splits[name] = Split(
            inputs=arrays["inputs"][rows],
            labels=np.array(arrays["labels"][rows]),
            lengths=np.full(size, info.length, np.int32),
            full_scale=255.0,
            times=np.array(arrays["times"][rows]),
        )
        start += size
    return Dataset.from_info(info, splits)


def kept_frames(split: str, number: int, n: int, length: int) -> Int[np.ndarray, " length"]:
    """Return the numbers of the kept frames of a sequence, in ascending order.

    Args:
        split: The split of the sequence.
        number: The number of the sequence in the split, from 0.
        n: Number of sequences of the split.
        length: Number of frames to keep.
    """
    seed = number if split == "test" else number + n
    return np.sort(np.random.default_rng(seed).choice(N_FRAMES, length, replace=False))


def _plan_reading(info: DatasetInfo, path: Path, arrays: dict[str, tuple[tuple[int, ...], str]]) -> ConversionPlan:
    chunks, row = [], 0
    for split, size in info.sizes.items():
        chunks.append(Chunk(row, row + size, (split, size)))
        row += size
    read = functools.partial(_read, path=path, length=info.length)
    return ConversionPlan(arrays=arrays, chunks=chunks, convert=read, facts={}, sources=[path])


def _read(source: tuple[str, int], path: Path, length: int) -> Arrays:
    """Read a split from the file, and return the kept frames of each sequence."""
    split, n = source
    if path.is_file() and not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not a complete .npz file", hint="generate or get the file again")
    needed = {
        f"{_NAMES[split]}_obs": ((n, N_FRAMES, SIDE, SIDE, 1), np.dtype(np.uint8)),
        f"{_NAMES[split]}_targets": ((n, N_FRAMES, 2), None),
    }
    found = []
    for name, (shape, dtype) in needed.items():
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                array = file[name]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: {name} cannot be read: {error}", hint="generate or get the file again") from error
        if array.shape != shape or dtype not in (None, array.dtype):
            raise DataError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}; expected {dtype or 'float'} of shape {shape}"
            )
        found.append(array)
    kept = np.stack([kept_frames(split, number, n, length) for number in range(n)])
    pictures, targets = found[0].reshape(n, N_FRAMES, SIDE * SIDE), found[1]
    return {
        "inputs": np.take_along_axis(pictures, kept[:, :, None], axis=1),
        "labels": np.take_along_axis(targets, kept[:, :, None], axis=1).astype(np.float32),
        "times": kept.astype(np.float32),
    }


def _convert(source: tuple[Sequences, np.ndarray]) -> Arrays:
    sequences, kept = source
    pictures = draw_pictures(sequences).reshape(*sequences.seen.shape, SIDE * SIDE)
    angles = np.take_along_axis(sequences.angles, kept, axis=1)
    return {
        "inputs": np.take_along_axis(pictures, kept[:, :, None], axis=1),
        "labels": np.stack([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32),
        "times": kept.astype(np.float32),
    }
