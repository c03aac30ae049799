"""`pendulum`: what a pendulum does, from noisy pictures at irregular times. Source: Smith et al. 2023, §6.3.

Of each sequence's 100 frames 50 are kept; which, NumPy's generator says, seeded as in the S5 repository.
"""

import numpy as np
from jaxtyping import Int

from s5.catalog import DatasetInfo
from s5.choices import Compat
from s5.config import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import Chunk, Plan, Stored
from s5.data.dataset import Dataset, Split
from s5.data.generate.pendulum import N_FRAMES, SIDE, Sequences, draw_pictures, draw_set
from s5.data.progress import Progress

# The sets in the order of their draws, and the generator that each comes from.
_SETS = (("train", 42), ("test", 42), ("val", 43))
_SEQUENCES_OF_A_CHUNK = 40


def make_plan(info: DatasetInfo, root: str | None) -> Plan:
    """Simulate all pendulums, which takes seconds, and plan the drawing of their pictures."""
    del root
    starts, row = {}, 0
    for name, size in info.sizes.items():
        starts[name], row = row, row + size
    generators = {seed: np.random.RandomState(seed) for _, seed in _SETS}
    progress = Progress(f"{info.name}: simulating", row, "pendulums")
    chunks: list[Chunk] = []
    for name, seed in _SETS:
        first = 0
        for sequences in draw_set(generators[seed], info.sizes[name], _SEQUENCES_OF_A_CHUNK):
            n = len(sequences.angles)
            kept = np.stack([kept_frames(name, first + k, info.sizes[name], info.length) for k in range(n)])
            chunks.append(Chunk(starts[name] + first, starts[name] + first + n, (sequences, kept)))
            first += n
            progress.advance(n)
    n, length = info.n_examples, info.length
    return Plan(
        arrays={
            "inputs": ((n, length, SIDE * SIDE), "uint8"),
            "labels": ((n, length, 2), "float32"),
            "times": ((n, length), "float32"),
        },
        chunks=chunks,
        convert=_convert,
        facts={"seeds": {name: seed for name, seed in _SETS}},
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: Stored, compat: Compat) -> Dataset:
    """Return the data set: pictures of 0 to 1, row by row; the sine and the cosine of the angle are the targets."""
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
    return Dataset.of(info, splits)


def kept_frames(split: str, number: int, n: int, length: int) -> Int[np.ndarray, " length"]:
    """Return which frames of a sequence are kept.

    Args:
        split: Its split.
        number: Its place in the split, from 0.
        n: Sequences of the split.
        length: How many frames are kept.
    """
    seed = number if split == "test" else number + n
    return np.sort(np.random.default_rng(seed).choice(N_FRAMES, length, replace=False))


def _convert(source: tuple[Sequences, np.ndarray]) -> Arrays:
    sequences, kept = source
    pictures = draw_pictures(sequences).reshape(*sequences.seen.shape, SIDE * SIDE)
    angles = np.take_along_axis(sequences.angles, kept, axis=1)
    return {
        "inputs": np.take_along_axis(pictures, kept[:, :, None], axis=1),
        "labels": np.stack([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32),
        "times": kept.astype(np.float32),
    }
