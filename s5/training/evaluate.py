"""Evaluation: the scores of a model on a split, and a finished run's model for a few lines of Python.

from s5.training.evaluate import load_run
config, model = load_run("runs/quickstart/digits-s5-...")
logits = model(inputs, train=False)
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jaxtyping import PyTree

from s5.catalog import DatasetInfo, dataset_info
from s5.config.choices import Head
from s5.config.compose import read_config
from s5.config.run import Config
from s5.data import Dataset, load
from s5.data.batch import Batch, eval_batches
from s5.errors import Stopped, UserError
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.steps import Steps
from s5.process.sharding import Devices
from s5.training import checkpoints
from s5.training.metrics import MetricSums, batch_metrics

# How the names of the best model's arrays inside a checkpoint begin.
BEST = "best/"
BEST_PARAMS, BEST_STATS = f"{BEST}params", f"{BEST}stats"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What data ask of a model. A checkpoint holds it, since files that are read may differ from what was expected.

    d_input: Features of a step, or different tokens.
    n_classes: Classes; for a regression the features of a target.
    head: The name of the head they ask for.
    vocabulary: What tokens stand for, empty for features; None in a checkpoint that is older than this field, and where
        the catalog alone is asked.
    """

    d_input: int
    n_classes: int
    head: str
    vocabulary: str | None = None

    @classmethod
    def of(cls, data: Dataset | DatasetInfo) -> "Task":
        """Return that of a data set, or of what the catalog expects of one."""
        vocabulary = data.vocabulary if isinstance(data, Dataset) else None
        return cls(d_input=data.d_input, n_classes=data.n_classes, head=data.head.name, vocabulary=vocabulary)

    def __str__(self) -> str:
        return f"{self.head} of steps of {self.d_input} with {Head[self.head].answers(self.n_classes)}"


def check_same_task(
    key: str, dataset: Dataset, own: Task, hint: str = "name a data set of the same kind, whose tokens are the same"
) -> None:
    """Raise where a model that was trained for a task cannot read a data set.

    Args:
        key: What named the data set, for the message.
        dataset: The data set.
        own: The model's task.
        hint: What to do about it.

    Raises:
        UserError: Where the data ask for another model, or where their tokens stand for other symbols.
    """
    asked = Task.of(dataset)
    if replace(asked, vocabulary=own.vocabulary) != own:
        raise UserError(f"{key}: {dataset.name} is a {asked}, and the model was trained for a {own}", hint=hint)
    if own.vocabulary not in (None, asked.vocabulary):
        raise UserError(
            f"{key}: the tokens of {dataset.name} are {asked.vocabulary or 'features'}, "
            f"and those that the model was trained on are {own.vocabulary or 'features'}",
            hint=hint,
        )


def is_padded(dataset: Dataset) -> bool:
    """Return whether any sequence of a data set is shorter than the longest."""
    return any((split.lengths != dataset.length).any() for split in dataset.splits.values())


def valid_lengths(dataset: Dataset) -> Callable[[Batch], Any]:
    """Return what takes a batch's lengths for the model: None where no sequence is padded, which is faster."""
    return (lambda batch: batch.lengths) if is_padded(dataset) else (lambda batch: None)


EvalStep = Callable[[PyTree, PyTree, MetricSums, Batch], MetricSums]


def make_eval_step(
    graphdef: Any,
    lengths_of: Callable[[Batch], Any],
    *,
    head: Head = Head.classification,
    devices: Devices | None = None,
    step_rescale: float = 1.0,
) -> EvalStep:
    """Return the jitted step of an evaluation.

    Args:
        graphdef: The model's structure, from `nnx.split`.
        lengths_of: From `valid_lengths`.
        head: What the model returns.
        devices: What a batch is divided over; None for one device.
        step_rescale: Factor on every step of the model: 2 for data at half the sampling rate trained on.

    Returns:
        A pure function (params, stats, sums so far, batch) -> sums.
    """

    def eval_step(params: PyTree, stats: PyTree, sums: MetricSums, batch: Batch) -> MetricSums:
        model, lengths = nnx.merge(graphdef, params, stats), lengths_of(batch)
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
    """Return the mean loss, and of classes the accuracy, over batches.

    Args:
        step: From `make_eval_step`.
        params: The model's parameters.
        stats: Its other state.
        batches: The examples; of several processes, this one's rows.
        stopping: Asked before every batch.
        head: As the step's.
        devices: As the step's.

    Raises:
        Stopped: Where `stopping` says so before the end.
    """
    devices = devices or Devices(1)
    sums = devices.replicate(MetricSums.zero(head))
    for batch in batches:
        if stopping():
            raise Stopped
        sums = step(params, stats, sums, devices.shard_batch(batch))
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
    config, model, _ = _load(Path(run_dir))
    return config, model


def _load(run_dir: Path) -> tuple[Config, SequenceModel, Task]:
    """Return what `load_run` does, and what the model was made for."""
    config = read_config(run_dir)
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
    # Checkpoints without a task are older than the data sets whose files may differ from what the catalog expects.
    task = Task(**checkpoint.progress.get("task") or asdict(Task.of(dataset_info(config.data.name))))
    model = make_model(
        config.model,
        task.d_input,
        task.n_classes,
        nnx.Rngs(config.seed),
        head=Head[task.head],
        compat=config.compat,
    )
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    params = checkpoints.unflatten(params, checkpoint.arrays, BEST_PARAMS)
    stats = checkpoints.unflatten(stats, checkpoint.arrays, BEST_STATS)
    return config, nnx.merge(graphdef, params, stats), task


def evaluate_run(run_dir: Path, split: str, *, data: str | None = None, step_rescale: float = 1.0) -> dict[str, float]:
    """Return the scores of a run's best model on a split: `SPLIT/loss`, and `SPLIT/accuracy` or `SPLIT/mse`.

    Args:
        run_dir: The run directory.
        split: The split's name.
        data: Another data set than the run's, with the same features and classes: the same recordings at another
            sampling rate, say. None for the run's own.
        step_rescale: As in `make_eval_step`.

    Raises:
        UserError: For an unknown split, data that the model cannot read, or a run that cannot be loaded.
    """
    config, model, task = _load(run_dir)
    if data is not None:
        config.data.name, config.data.version = data, dataset_info(data).version
    dataset = load(config.data, config.compat)
    check_same_task(f"data.name={dataset.name}" if data is None else f"--data {data}", dataset, task)
    if split not in dataset.splits:
        raise UserError(f"--split {split}: no such split", hint=f"the splits are {', '.join(dataset.splits)}")
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    here = jax.local_device_count()
    devices = Devices(min(config.train.devices or here, here))  # what four have trained, one can score
    step = make_eval_step(graphdef, valid_lengths(dataset), head=model.kind, devices=devices, step_rescale=step_rescale)
    batches = eval_batches(dataset.splits[split], devices.round_up(config.train.eval_batch_size))
    params, stats = devices.replicate((params, stats))
    scores = evaluate(step, params, stats, batches, head=model.kind, devices=devices)
    return {f"{split}/{name}": value for name, value in scores.items()}
