"""Compares the speed of the data loader with that of training, in the shapes of the LRA recipes; measures memory.

    python -m benchmarks.data [--json] [--recipe NAME]... [--repeats N] [--batches N]

batch_ms   milliseconds in which the loader makes a batch: `batches` are timed together; the median of `repeats`
step_ms    milliseconds of a training step on that batch. A step on `step_rows` of its rows is measured (the median of
           `repeats`) and multiplied: on a CPU, the time of a step grows with the number of rows, or a little less
ratio      step_ms / batch_ms: how many times faster the loader is
grew_mib   the largest growth of the process's own, unshared memory while batches are read

A data set consists of random rows: 128 MiB on the disk, or the number of the real set if that is smaller. It is
memory-mapped like a prepared data set. Model, optimizer and batch size are those of the recipe.
"""

import argparse
import dataclasses
import json
import math
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from s5 import catalog
from s5.catalog import DatasetInfo
from s5.config.choices import Head
from s5.config.compose import compose
from s5.config.run import Config
from s5.data.batch import TrainBatches
from s5.data.dataset import Dataset, Split
from s5.process.huge_pages import restart_with_huge_pages
from s5.process.sharding import Devices
from s5.training.trainer import Trainer

# The number of rows on which a step is measured; the step then takes a few seconds on two cores.
STEP_ROWS = {
    "lra/listops": 10,
    "lra/text": 4,
    "lra/retrieval": 4,
    "lra/image": 10,
    "lra/pathfinder": 8,
    "lra/pathx": 1,
    "speech/sc35": 2,
}
MOST_BYTES = 1 << 27


def make_dataset(folder: Path, info: DatasetInfo) -> Dataset:
    """Return a memory-mapped data set of random rows, in the shape of a catalog entry."""
    documents = (2,) if info.head is Head.retrieval else ()
    shape = (*documents, info.length, 1)
    dtype = np.dtype(np.int16 if info.name.startswith("speech") else np.uint8)
    n = min(info.sizes["train"], MOST_BYTES // (math.prod(shape) * dtype.itemsize))
    array = np.lib.format.open_memmap(folder / "inputs.npy", mode="w+", dtype=dtype, shape=(n, *shape))
    rng = np.random.default_rng(0)
    for first in range(0, n, 1000):
        part = array[first : first + 1000]
        part[:] = rng.integers(0, 16, part.shape, dtype)
    del array
    split = Split(
        inputs=np.load(folder / "inputs.npy", mmap_mode="r"),
        labels=rng.integers(info.n_classes, size=n).astype(np.int32),
        lengths=np.full((n, *documents), info.length, np.int32),
        full_scale=127.5,
        offset=127.5,
        tokens=info.tokens,
        # In real sets, a split's pictures and clips are in random order in their files.
        rows=None if info.tokens else rng.permutation(n),
    )
    return Dataset.from_info(info, {"train": split, "val": split, "test": split}, vocabulary="random" * info.tokens)


def own_memory_mib() -> float:
    """Return the size of this process's anonymous memory, which belongs to no file, in MiB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Anonymous"].split()[0]) / 1024


def measure_loader(dataset: Dataset, batch_size: int, repeats: int, n: int) -> dict[str, float]:
    """Return the milliseconds per batch, and the largest growth of memory."""
    batches = TrainBatches(dataset.splits["train"], batch_size, 0)
    next(batches)
    before, times, peak = own_memory_mib(), [], 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(n):
            next(batches)
        times.append((time.perf_counter() - start) / n * 1e3)
    for _ in range(n):  # in its own loop, since reading the memory takes a while
        next(batches)
        peak = max(peak, own_memory_mib())
    batches.close()
    return {"batch_ms": statistics.median(times), "grew_mib": max(0.0, peak - before)}


def measure_step(config: Config, dataset: Dataset, rows: int, repeats: int) -> float:
    """Return the milliseconds of a training step on `rows` rows."""
    train = dataclasses.replace(config.train, batch_size=rows)
    trainer = Trainer(dataclasses.replace(config, train=train), dataset, Devices(1))
    trainer.initialize(None)
    batches, times = trainer.batches(), []
    for _ in range(repeats + 1):
        batch = next(batches)
        start = time.perf_counter()
        trainer.step(batch)
        jax.block_until_ready(trainer.state)
        times.append((time.perf_counter() - start) * 1e3)
    batches.close()
    return statistics.median(times[1:])  # the first compiles


def measure(recipe: str, repeats: int, n: int) -> dict[str, Any]:
    """Return the results for a recipe."""
    config = compose([f"experiment={recipe}"])
    info, batch_size, rows = catalog.dataset_info(config.data.name), config.train.examples_per_step, STEP_ROWS[recipe]
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder), info)
        loader = measure_loader(dataset, batch_size, repeats, n)
        step_ms = measure_step(config, dataset, rows, repeats) * batch_size / rows
    ratio = step_ms / loader["batch_ms"]
    figures = {"batch_ms": loader["batch_ms"], "step_ms": step_ms, "ratio": ratio, "grew_mib": loader["grew_mib"]}
    rounded = {name: round(value, 3 if name == "batch_ms" else 1) for name, value in figures.items()}
    return {"recipe": recipe, "batch_size": batch_size, "step_rows": rows, **rounded}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--recipe", choices=STEP_ROWS, action="append", help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=100)
    asked = parser.parse_args()
    restart_with_huge_pages()
    machine = f"{platform.machine()} {platform.system()}, Python {platform.python_version()}, {jax.default_backend()}"
    figures = [measure(recipe, asked.repeats, asked.batches) for recipe in asked.recipe or STEP_ROWS]
    if asked.json:
        print(json.dumps({"machine": machine, "recipes": figures}))
        return
    print(machine)
    for one in figures:
        print("  ".join(f"{name} {value}" for name, value in one.items()))


if __name__ == "__main__":
    main()
