"""Measures the time of a training batch: in the pipeline of `s5.data.batch`, which uses Grain, and in two others.

    python -m benchmarks.input_pipeline [--json]

The data are random numbers in the shape of `mnist5k`, in batches of 50. `numpy_thread` makes the same batches in its
own thread, with a queue. `grain_examples` uses Grain as in its tutorial, one example at a time. Every result is the
best of its repeats; the machine should be idle.
"""

import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grain
import numpy as np

from benchmarks.command import run
from s5.data.batch import Batch, BatchSequence, TrainBatches
from s5.data.dataset import Split

BATCH_SIZE = 50
FAR = 1_000_003  # a late step, in the middle of an epoch
STACK = "import jax, optax, orbax.checkpoint, flax.nnx"


def random_split(n: int = 4000, length: int = 784) -> Split:
    """Return a split in the shape of `mnist5k`."""
    rng = np.random.default_rng(0)
    return Split(
        inputs=rng.integers(0, 256, (n, length, 1), np.uint8),
        labels=rng.integers(0, 10, n, np.int32),
        lengths=np.full(n, length, np.int32),
        full_scale=255.0,
    )


def numpy_thread(split: Split, start_step: int = 0) -> Iterator[Batch]:
    """Yield the training batches that a thread puts into a queue of size two."""
    steps, ready, stopped = BatchSequence(split, BATCH_SIZE, seed=0), queue.Queue(maxsize=2), threading.Event()

    def produce() -> None:
        step = start_step
        while not stopped.is_set():
            ready.put(steps[step])
            step += 1

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            yield ready.get()
    finally:
        stopped.set()
        while thread.is_alive():
            while not ready.empty():
                ready.get_nowait()


def grain_examples(split: Split, start_step: int = 0) -> Iterator[Any]:
    """Return batches of single examples, shuffled and batched by Grain."""

    def example(index: int) -> Batch:
        inputs = split.inputs[index].astype(np.float32) / np.float32(split.full_scale)
        return Batch(inputs, split.labels[index], split.lengths[index], np.ones((), np.float32))

    order = grain.MapDataset.range(len(split)).shuffle(seed=0).repeat()[start_step * BATCH_SIZE :]
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2 * BATCH_SIZE)
    return iter(order.map(example).to_iter_dataset(options).batch(BATCH_SIZE, drop_remainder=True))


def time_batch_us(batches: Iterator[Any], n: int) -> float:
    """Return the microseconds per batch if nothing else is done."""
    start = time.perf_counter()
    for _ in range(n):
        next(batches)
    return (time.perf_counter() - start) / n * 1e6


def time_wait_us(batches: Iterator[Any], n: int, work_s: float = 5e-3) -> float:
    """Return the median wait for a batch after `work_s` of matrix products, which release Python's global lock."""
    matrix, waits = np.ones((200, 200), np.float32), []
    for _ in range(n):
        end = time.perf_counter() + work_s
        while time.perf_counter() < end:
            np.matmul(matrix, matrix)
        start = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - start)
    return statistics.median(waits) * 1e6


def time_restore_ms(make: Callable[..., Iterator[Any]], split: Split) -> float:
    """Return the milliseconds from the start to the first batch, at a late step."""
    start = time.perf_counter()
    batches = make(split, FAR)
    next(batches)
    return (time.perf_counter() - start) * 1e3  # taken before `batches` and its thread are deleted


def time_import_s(statement: str, after: str = "pass") -> float:
    """Return the seconds of an import in a new process, after the imports in `after`."""
    code = f"{after}\nimport time; t = time.perf_counter()\n{statement}\nprint(time.perf_counter() - t)"
    return min(float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(3))


def measure(repeats: int = 3) -> dict[str, Any]:
    """Return all results."""
    split = random_split()
    figures: dict[str, Any] = {
        "import_data_s": time_import_s("import s5.data"),
        "import_grain_s": time_import_s("import grain"),
        "import_grain_behind_the_training_stack_s": time_import_s("import grain", after=STACK),
    }
    makers: dict[str, tuple[Callable[..., Iterator[Any]], int]] = {
        "s5": (lambda split, start_step=0: TrainBatches(split, BATCH_SIZE, 0, start_step), 2000),
        "numpy_thread": (numpy_thread, 2000),
        "grain_examples": (grain_examples, 60),
    }
    for name, (make, n) in makers.items():
        figures[name] = {
            "batch_us": round(min(time_batch_us(make(split), n) for _ in range(repeats)), 1),
            "wait_behind_5_ms_of_work_us": round(min(time_wait_us(make(split), 60) for _ in range(repeats)), 1),
            "restore_ms": round(min(time_restore_ms(make, split) for _ in range(repeats)), 3),
        }
    return figures


if __name__ == "__main__":
    run("benchmarks.input_pipeline", __doc__.splitlines()[0], measure)
