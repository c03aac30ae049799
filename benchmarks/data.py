"""What the loader feeds: batches a second in the shapes of the LRA recipes, and the memory it takes.

    python -m benchmarks.data [--json]

Every set is as many random rows as take 256 MiB on the disk, or all rows where those are fewer, mapped as a prepared
set is. A figure is the best of three passes of `n` batches, on an otherwise idle machine; memory is what the process's
own, unshared pages grew by.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import run
from s5.data.batch import train_batches
from s5.data.dataset import Split

# Batch size, rows, and the shape and type of a row.
SHAPES = {
    "listops": (50, 96_000, (2048, 1), np.uint8),
    "imdb": (50, 22_500, (4096, 1), np.uint8),
    "aan": (32, 147_086, (2, 4000, 1), np.uint8),
    "cifar10_grey": (50, 45_000, (1024, 1), np.uint8),
    "pathfinder32": (64, 160_000, (1024, 1), np.uint8),
    "pathfinder128": (32, 160_000, (16_384, 1), np.uint8),
    "speech_commands35": (16, 84_843, (16_000, 1), np.int16),
}
TOKENS = {"listops", "imdb", "aan"}
MOST_BYTES = 1 << 28


def make_split(folder: Path, name: str) -> Split:
    """Return a mapped split of random rows."""
    _, rows, shape, dtype = SHAPES[name]
    row_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    n = min(rows, MOST_BYTES // row_bytes)
    path = folder / f"{name}.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n, *shape))
    rng = np.random.default_rng(0)
    for first in range(0, n, 1000):
        part = array[first : first + 1000]
        part[:] = rng.integers(0, 16, part.shape, dtype)
    del array
    lengths = np.full((n, *shape[:-2]), shape[-2], np.int32)
    return Split(
        inputs=np.load(path, mmap_mode="r"),
        labels=np.zeros(n, np.int32),
        lengths=lengths,
        full_scale=127.5,
        offset=127.5,
        tokens=name in TOKENS,
    )


def own_memory_mib() -> float:
    """Return the size of the pages that this process shares with no file, in MiB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Anonymous"].split()[0]) / 1024


def measure(n: int = 200) -> dict[str, Any]:
    """Return milliseconds a batch and the growth of memory, for every shape."""
    figures: dict[str, Any] = {}
    for name, (batch_size, *_) in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            split = make_split(Path(folder), name)
            batches = train_batches(split, batch_size, 0)
            next(batches)
            before, times = own_memory_mib(), []
            for _ in range(3):
                start = time.perf_counter()
                for _ in range(n):
                    next(batches)
                times.append((time.perf_counter() - start) / n * 1e3)
            figures[name] = {"batch_ms": round(min(times), 3), "grew_mib": round(own_memory_mib() - before, 1)}
            batches.close()
    return figures


if __name__ == "__main__":
    run("benchmarks.data", __doc__.splitlines()[0], measure)
