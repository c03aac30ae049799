"""Batches of fixed shape; the training order is a pure function of seed and step."""

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

# Grain requires a length; at a thousand steps a second this one lasts for 35,000 years.
_ENDLESS = 1 << 50


class Batch(NamedTuple):
    """Examples for one step; a pytree.

    Attributes:
        inputs: Scaled sequences; or tokens as stored.
        labels: The class of each example, or targets for every step.
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
    """Return the batch of the given examples of a split."""
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
        batch_size: Examples per step.
        rows: The rows of each batch that this process reads; other processes read the others.
    """
    for start in range(0, len(split), batch_size):
        examples = np.arange(start, start + batch_size)[rows]
        valid = examples < len(split)
        batch = gather(split, np.where(valid, examples, 0))
        yield batch._replace(weight=valid.astype(np.float32))


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Return the number of whole batches in a split.

    Raises:
        DataError: If there is not one.
    """
    if not 1 <= batch_size <= len(split):
        raise DataError(
            f"train.batch_size={batch_size}: a batch holds each of the {len(split):,} examples at most once",
            hint=f"choose 1 to {len(split)}",
        )
    return len(split) // batch_size


class BatchSequence:
    """The training batches as a sequence: item n is the batch of step n, computed from n alone.

    The order of each epoch depends on seed and epoch. Its incomplete last batch is dropped.

    Args:
        split: The training split.
        batch_size: Examples per step.
        seed: Seed of the order.
        rows: The rows of each batch that this process reads; other processes read the others.

    Raises:
        DataError: As `steps_per_epoch` does.
    """

    def __init__(self, split: Split, batch_size: int, seed: int, rows: slice = slice(None)) -> None:
        self.steps_per_epoch = steps_per_epoch(split, batch_size)
        self._split, self._batch_size, self._rows = split, batch_size, rows
        # Two epochs, since batches are prepared ahead and may belong to the next one.
        self._order = functools.lru_cache(maxsize=2)(functools.partial(permutation, len(split), seed))

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> Batch:
        epoch, place = divmod(index, self.steps_per_epoch)
        start = place * self._batch_size
        return gather(self._split, self._order(epoch)[start : start + self._batch_size][self._rows])


class TrainBatches:
    """An endless iterator over training batches, prepared ahead, that can jump to any step at once.

    Grain gets whole batches: gathering single examples would take many times as long, as
    `python -m benchmarks.input_pipeline` shows.

    Args:
        split: The training split.
        batch_size: Examples per step.
        seed: Seed of the order.
        start_step: The step of the first batch.
        prefetch: Batches prepared ahead on a thread; 0 to prepare none.
        rows: The rows of each batch that this process reads; not part of the state.
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
        """The step of the next batch, from 0 at the start of training."""
        return self._step

    def get_state(self) -> dict[str, Any]:
        """Return the position as plain values for JSON, without the batches prepared ahead."""
        return {"version": STATE_VERSION, "step": self._step, **self._identity}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore the position that `get_state` returned, in constant time.

        Raises:
            ValueError: If the state belongs to other data, another batch size or another seed.
        """
        for key, value in {"version": STATE_VERSION, **self._identity}.items():
            if state.get(key) != value:
                raise ValueError(f"the checkpoint's batches are of {key}={state.get(key)!r}, and not of {value!r}")
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
