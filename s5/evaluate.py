"""Evaluation: the scores of a model on a split, and a finished run's model for a few lines of Python.

from s5.evaluate import load_run
config, model = load_run("runs/quickstart/digits-s5-...")
logits = model(inputs, None, train=False)
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from s5 import checkpoints
from s5.catalog import dataset_info
from s5.config import Config
from s5.data import Dataset, load
from s5.data.batch import Batch, eval_batches
from s5.errors import Stopped, UserError
from s5.models import SequenceModel, make_model
from s5.run_config import read_config

# Names of the best model's arrays inside a checkpoint.
BEST_PARAMS = "best/params"
BEST_STATS = "best/stats"


class Sums(NamedTuple):
    """Sums over examples, from which means are made when somebody asks.

    loss: Cross-entropy in nats.
    correct: Examples whose most probable class is the right one.
    weight: Examples.
    """

    loss: Float[Array, ""]
    correct: Float[Array, ""]
    weight: Float[Array, ""]

    @classmethod
    def zero(cls) -> "Sums":
        """Return the sums over nothing."""
        return cls(*(jnp.zeros(()) for _ in cls._fields))

    def __add__(self, other: "Sums") -> "Sums":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the sums over the examples of both."""
        return Sums(*map(jnp.add, tuple(self), tuple(other)))

    def means(self) -> dict[str, float]:
        """Return the mean loss and the accuracy as a fraction; waits for the device."""
        loss, correct, weight = (float(value) for value in jax.device_get(tuple(self)))
        return {"loss": loss / weight, "accuracy": correct / weight}


def score(
    logits: Float[Array, "batch n_classes"],
    labels: Int[Array | np.ndarray, " batch"],
    weight: Float[Array | np.ndarray, " batch"],
) -> Sums:
    """Return the sums over one batch; rows of weight 0 count for nothing."""
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    correct = (logits.argmax(-1) == labels).astype(jnp.float32)
    return Sums((loss * weight).sum(), (correct * weight).sum(), weight.sum())


def valid_lengths(dataset: Dataset) -> Callable[[Batch], Any]:
    """Return what takes a batch's lengths for the model: None where no sequence is padded, which is faster."""
    full = all((split.lengths == dataset.length).all() for split in dataset.splits.values())
    return (lambda batch: None) if full else (lambda batch: batch.lengths)


EvalStep = Callable[[PyTree, PyTree, Sums, Batch], Sums]


def make_eval_step(graphdef: Any, lengths_of: Callable[[Batch], Any]) -> EvalStep:
    """Return the jitted step of an evaluation.

    Args:
        graphdef: The model's structure, from `nnx.split`.
        lengths_of: From `valid_lengths`.

    Returns:
        A pure function (params, stats, sums so far, batch) -> sums.
    """

    @jax.jit
    def eval_step(params: PyTree, stats: PyTree, sums: Sums, batch: Batch) -> Sums:
        logits = nnx.merge(graphdef, params, stats)(batch.inputs, lengths_of(batch), train=False)
        return sums + score(logits, batch.labels, batch.weight)

    return eval_step


def evaluate(
    step: EvalStep,
    params: PyTree,
    stats: PyTree,
    batches: Iterable[Batch],
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Return the mean loss and the accuracy over batches.

    Args:
        step: From `make_eval_step`.
        params: The model's parameters.
        stats: Its other state.
        batches: The examples.
        stopping: Asked before every batch.

    Raises:
        Stopped: Where `stopping` says so before the end.
    """
    sums = Sums.zero()
    for batch in batches:
        if stopping():
            raise Stopped
        sums = step(params, stats, sums, batch)
    return sums.means()


def load_run(run_dir: str | Path) -> tuple[Config, SequenceModel]:
    """Load the best model of a run, to evaluate it or to train it further.

    Args:
        run_dir: A run directory; its training may have ended or not.

    Returns:
        Its config, and the model with the parameters that scored best on the validation split so far.

    Raises:
        UserError: Where the directory holds no config, or no valid checkpoint with an evaluated model.
    """
    run_dir = Path(run_dir)
    config = read_config(run_dir)
    info = dataset_info(config.data.name)
    model = make_model(config.model, info.d_input, info.n_classes, nnx.Rngs(config.seed))
    checkpoint = checkpoints.newest(run_dir)
    if checkpoint is None and checkpoints.exist(run_dir):
        raise UserError(
            f"{run_dir}: every checkpoint is damaged, and there is no other",
            hint="train the run again in another folder, or bring the checkpoint back from a copy",
        )
    if checkpoint is None or checkpoint.progress["best_step"] is None:
        raise UserError(
            f"{run_dir}: no valid checkpoint with an evaluated model",
            hint="let the run train for at least one evaluation",
        )
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    params = checkpoints.unflatten(params, checkpoint.arrays, BEST_PARAMS)
    stats = checkpoints.unflatten(stats, checkpoint.arrays, BEST_STATS)
    return config, nnx.merge(graphdef, params, stats)


def evaluate_run(run_dir: Path, split: str) -> dict[str, float]:
    """Return the scores of a run's best model on a split of its data set: `SPLIT/loss` and `SPLIT/accuracy`.

    Raises:
        UserError: For an unknown split, or a run that cannot be loaded.
    """
    config, model = load_run(run_dir)
    dataset = load(config.data)
    if split not in dataset.splits:
        raise UserError(f"--split {split}: no such split", hint=f"the splits are {', '.join(dataset.splits)}")
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    step = make_eval_step(graphdef, valid_lengths(dataset))
    scores = evaluate(step, params, stats, eval_batches(dataset.splits[split], config.train.eval_batch_size))
    return {f"{split}/{name}": value for name, value in scores.items()}
