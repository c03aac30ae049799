"""Batches: fixed shapes, and a training order that is a pure function of seed and step."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float32, Int, Int32

from s5.data.dataset import Split
from s5.data.order import shuffled

STATE_VERSION = 1


class Batch(NamedTuple):
    """Examples for one step; a pytree.

    inputs: Sequences, scaled.
    labels: The class of each.
    lengths: How many steps of each are valid.
    weight: 1 for an example, 0 for a row that only fills the shape.
    """

    inputs: Float32[np.ndarray, "batch L d_input"]
    labels: Int32[np.ndarray, " batch"]
    lengths: Int32[np.ndarray, " batch"]
    weight: Float32[np.ndarray, " batch"]


def gather(split: Split, examples: Int[np.ndarray, " batch"]) -> Batch:
    """Return the batch of the given examples of a split."""
    inputs = split.inputs[examples].astype(np.float32)
    inputs /= np.float32(split.full_scale)
    return Batch(inputs, split.labels[examples], split.lengths[examples], np.ones(len(examples), np.float32))


class TrainBatches:
    """An endless iterator of training batches that can be put at any step at once.

    Every epoch is shuffled anew by (seed, epoch), and its ragged last batch is dropped.

    Args:
        split: The training split.
        batch_size: Examples per step.
        seed: Seed of the order.
        start_step: How many steps to leave out.
        prefetch: Batches prepared ahead on a thread; 0 for none.

    Raises:
        ValueError: Where the split has not one whole batch.
    """

    def __init__(self, split: Split, batch_size: int, *, seed: int, start_step: int = 0, prefetch: int = 2) -> None:
        if not 1 <= batch_size <= len(split):
            raise ValueError(f"train.batch_size={batch_size} must lie in 1..{len(split)}, the examples to train on")
        self._split, self._batch_size, self._seed, self._prefetch = split, batch_size, seed, prefetch
        self.steps_per_epoch = len(split) // batch_size
        self._step = start_step
        self._order = (-1, np.empty(0, np.int64))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        epoch, place = divmod(self._step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, shuffled(len(self._split), self._seed, epoch))
        batch = gather(self._split, self._order[1][place * self._batch_size : (place + 1) * self._batch_size])
        self._step += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Return where the iterator stands, as plain values for JSON."""
        return {"version": STATE_VERSION, "step": self._step, **self._identity()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put the iterator where `get_state` found it, in constant time.

        Raises:
            ValueError: Where the state is of other data, another batch size or another seed.
        """
        wanted = {"version": STATE_VERSION, **self._identity()}
        for key, value in wanted.items():
            if state.get(key) != value:
                raise ValueError(f"data iterator: the state has {key}={state.get(key)!r}, the iterator {value!r}")
        self._step = state["step"]

    def _identity(self) -> dict[str, int]:
        return {"examples": len(self._split), "batch_size": self._batch_size, "seed": self._seed}

    def close(self) -> None:
        """Stop preparing batches."""


def train_batches(split: Split, batch_size: int, seed: int, start_step: int = 0, *, prefetch: int = 2) -> TrainBatches:
    """Return the endless iterator of training batches, standing before `start_step`; see `TrainBatches`."""
    return TrainBatches(split, batch_size, seed=seed, start_step=start_step, prefetch=prefetch)


def eval_batches(split: Split, batch_size: int) -> Iterator[Batch]:
    """Yield every example of a split once, in order; rows of weight 0 fill the last batch."""
    for start in range(0, len(split), batch_size):
        examples = np.arange(start, start + batch_size)
        valid = examples < len(split)
        batch = gather(split, np.where(valid, examples, 0))
        yield batch._replace(weight=valid.astype(np.float32))
