"""Batches of fixed shape. The training batch of a step is a pure function of the seed and the step."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Float32, Int, Int32, Shaped

from s5.catalog import DataError
from s5.data.dataset import Split
from s5.data.order import permutation

STATE_VERSION = 1

# Grain requires a length. This number of steps is never reached: at a thousand steps a second it takes 35,000 years.
_ENDLESS = 1 << 50


class Batch(NamedTuple):
    """The examples of one step; a pytree.

    Attributes:
        inputs: Scaled sequences, or tokens as stored.
        labels: The class of each example; for a regression the targets of every step.
        lengths: Valid steps of each sequence.
        weight: 1 for an example, 0 for a row of padding.
        times: Time of each step, in units of the regular interval; None if all intervals are 1.
    """

    inputs: Shaped[np.ndarray, "batch *documents L d_stored"]
    labels: Shaped[np.ndarray, "batch ..."]
    lengths: Int32[np.ndarray, " batch *documents"]
    weight: Float32[np.ndarray, " batch"]
    times: Float32[np.ndarray, "batch L"] | None = None


def gather(split: Split, examples: Int[np.ndarray, " batch"]) -> Batch:
    """Return the batch of some examples of a split, by their numbers."""
    inputs = split.inputs[examples if split.rows is None else split.rows[examples]]
    if not split.tokens:
        inputs = inputs.astype(np.float32)
        if np.any(split.offset):
            inputs -= np.float32(split.offset)
        inputs /= np.float32(split.full_scale)
    times = None if split.times is None else split.times[examples]
    return Batch(inputs, split.labels[examples], split.lengths[examples], np.ones(len(examples), np.float32), times)


def eval_batches(split: Split, batch_size: int, rows: slice = slice(None)) -> Iterator[Batch]:
    """Yield every example of a split once, in order; the last batch is padded with rows of weight 0.

    Args:
        split: The split.
        batch_size: Examples per step; not more than `evaluation_size` allows, or the padding costs memory and time.
        rows: The rows of each batch that this process reads; other processes read the other rows.
    """
    for start in range(0, len(split), batch_size):
        examples = np.arange(start, start + batch_size)[rows]
        valid = examples < len(split)
        batch = gather(split, np.where(valid, examples, 0))
        yield batch._replace(weight=valid.astype(np.float32))


def evaluation_size(split: Split, wanted: int) -> int:
    """Return the examples of an evaluation step: `wanted`, but not more than the split has."""
    return min(wanted, len(split))


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Return the number of whole batches in a split.

    Raises:
        DataError: If the batch size is less than 1, or larger than the split.
    """
    if not 1 <= batch_size <= len(split):
        raise DataError(
            f"train.batch_size={batch_size}: must be at least 1 and at most {len(split):,}, the examples of the split",
            hint=f"choose 1 to {len(split)}",
        )
    return len(split) // batch_size


class BatchSequence:
    """The training batches as a sequence: item n is the batch of step n, independent of earlier items.

    The order of each epoch depends on the seed and the epoch. The incomplete last batch of an epoch is dropped.

    Args:
        split: The training split.
        batch_size: Examples per step.
        seed: Seed of the order.
        rows: The rows of each batch that this process reads; other processes read the other rows.

    Raises:
        DataError: If the batch size is larger than the split.
    """

    def __init__(self, split: Split, batch_size: int, seed: int, rows: slice = slice(None)) -> None:
        self.steps_per_epoch = steps_per_epoch(split, batch_size)
        self._split, self._batch_size, self._rows = split, batch_size, rows
        # Two epochs are cached, since batches are prepared ahead and may belong to the next epoch.
        self._order = functools.lru_cache(maxsize=2)(functools.partial(permutation, len(split), seed))

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> Batch:
        epoch, place = divmod(index, self.steps_per_epoch)
        start = place * self._batch_size
        return gather(self._split, self._order(epoch)[start : start + self._batch_size][self._rows])


class TrainBatches:
    """An endless iterator over training batches, which are prepared ahead; it can jump to any step in constant time.

    Grain's items are whole batches. With single examples as items it would be many times slower, as
    `python -m benchmarks.input_pipeline` shows.

    Args:
        split: The training split.
        batch_size: Examples per step.
        seed: Seed of the order.
        start_step: The step of the first batch.
        prefetch: Number of batches that a thread prepares ahead; 0 for no thread.
        rows: The rows of each batch that this process reads. They are not part of the state.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        prefetch: int = 2,
        rows: slice = slice(None),
    ) -> None:
        steps = BatchSequence(split, batch_size, seed, rows)
        self.steps_per_epoch = steps.steps_per_epoch
        self._identity = {"examples": len(split), "batch_size": batch_size, "seed": seed}
        self._steps = grain.MapDataset.source(steps)
        self._read_options = grain.ReadOptions(num_threads=min(prefetch, 1), prefetch_buffer_size=prefetch)
        self._iterator: grain.DatasetIterator[Batch] | None = None
        self._seek(start_step)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._iterator is None:
            raise StopIteration
        batch = next(self._iterator)
        self._step += 1
        return batch

    @property
    def step(self) -> int:
        """The step of the next batch, counted from 0."""
        return self._step

    def get_state(self) -> dict[str, Any]:
        """Return the position as plain values for JSON; batches that are prepared ahead do not count."""
        return {"version": STATE_VERSION, "step": self._step, **self._identity}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore the position that `get_state` returned, in constant time.

        Raises:
            ValueError: If the state belongs to other data, another batch size or another seed.
        """
        for key, value in {"version": STATE_VERSION, **self._identity}.items():
            if state.get(key) != value:
                raise ValueError(f"the checkpoint's batches have {key}={state.get(key)!r}, but this run has {value!r}")
        self._seek(state["step"])

    def close(self) -> None:
        """Stop the thread that prepares batches, and end the iteration."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None

    def _seek(self, step: int) -> None:
        if not 0 <= step < _ENDLESS:
            raise ValueError(f"data iterator: step {step} is out of range")
        self.close()
        self._iterator = iter(self._steps[step:].to_iter_dataset(self._read_options))
        self._step = step
