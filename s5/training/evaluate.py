"""Evaluation: the scores of a model on a split, by a jitted step over its batches."""

from collections.abc import Callable, Iterable
from typing import Any

from flax import nnx
from jaxtyping import PyTree

from s5.config.choices import Head
from s5.data import Dataset
from s5.data.batch import Batch
from s5.errors import Stopped
from s5.nn.steps import Steps
from s5.process.sharding import Devices
from s5.training.metrics import MetricSums, batch_metrics


def is_padded(dataset: Dataset) -> bool:
    """Return whether any sequence of a data set is shorter than the longest."""
    return any((split.lengths != dataset.length).any() for split in dataset.splits.values())


def valid_lengths(dataset: Dataset) -> Callable[[Batch], Any]:
    """Return a function from a batch to its lengths; or to None, which is faster, if no sequence is padded."""
    return (lambda batch: batch.lengths) if is_padded(dataset) else (lambda batch: None)


EvalStep = Callable[[PyTree, PyTree, MetricSums, Batch], MetricSums]


def make_eval_step(
    graphdef: Any,
    get_lengths: Callable[[Batch], Any],
    *,
    head: Head = Head.classification,
    devices: Devices | None = None,
    step_rescale: float = 1.0,
) -> EvalStep:
    """Return the jitted step of an evaluation.

    Args:
        graphdef: The model's structure, from `nnx.split`.
        get_lengths: The function from `valid_lengths`.
        head: The model's head.
        devices: The devices that a batch is divided over; None for one device.
        step_rescale: Factor on every interval between steps: 2 for half the sampling rate of the training data.

    Returns:
        A pure function (params, stats, sums so far, batch) -> sums.
    """

    def eval_step(params: PyTree, stats: PyTree, sums: MetricSums, batch: Batch) -> MetricSums:
        model, lengths = nnx.merge(graphdef, params, stats), get_lengths(batch)
        steps = Steps.of(batch.inputs.shape[-2], lengths, times=batch.times, rate=step_rescale)
        outputs = model(batch.inputs, steps, train=False)
        return sums + batch_metrics(outputs, batch.labels, batch.weight, head, lengths)

    return (devices or Devices(1)).jit(eval_step)


def evaluate(
    step: EvalStep,
    params: PyTree,
    stats: PyTree,
    batches: Iterable[Batch],
    stopping: Callable[[], bool] = lambda: False,
    *,
    head: Head = Head.classification,
    devices: Devices | None = None,
) -> dict[str, float]:
    """Return the mean metrics over batches: `loss`, and `accuracy` or `mse`.

    Args:
        step: The jitted step from `make_eval_step`.
        params: The model's parameters.
        stats: The running statistics of the model.
        batches: The examples; if the run has several processes, only the rows of this process.
        stopping: Called before every batch; True ends the evaluation.
        head: The model's head.
        devices: As in `make_eval_step`.

    Raises:
        Stopped: If `stopping` returns True.
    """
    devices = devices or Devices(1)
    sums = devices.replicate(MetricSums.zero(head))
    for batch in batches:
        if stopping():
            raise Stopped
        sums = step(params, stats, sums, devices.shard_batch(batch))
    return sums.means()
