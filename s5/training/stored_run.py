"""Loads a stored run: its best model, the outputs of this model, and its scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float32, PyTree, Shaped
from numpy.typing import ArrayLike

from s5.catalog import absolute, dataset_info
from s5.config.choices import Head
from s5.config.compat import compat_switches
from s5.config.config_file import read_config
from s5.config.run import Config
from s5.data import load
from s5.data.batch import Batch, eval_batches, evaluation_size
from s5.data.dataset import Dataset
from s5.data.given import check_given, pad_sequences
from s5.data.input_facts import InputFacts
from s5.errors import UserError
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.steps import Steps, compute_intervals
from s5.process.flags import check_flags
from s5.process.numerics import fixed_numerics
from s5.process.sharding import Devices
from s5.run_dir.result import read_result
from s5.training import checkpoints
from s5.training.best_model import read_best
from s5.training.checkpoints import BEST_PARAMS, BEST_STATS
from s5.training.evaluate import evaluate, make_eval_step, valid_lengths
from s5.training.same_data import check_same_data
from s5.training.task import Task, check_same_task

_SCALED = (
    "the inputs are scaled as this data set says: name the folder of the earlier files, `load_run(folder, "
    "data_root=…)`, or scale the inputs yourself and call `run.model`"
)
_EVALUATED = (
    "data.root=FOLDER after the command names the folder of the earlier files; in Python `evaluate(run, data_root=…)`"
)


@final
@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A stored run with its best model. It can be unpacked: `config, model = run`.

    Attributes:
        path: The run directory.
        config: Its config.
        model: The model with the parameters that scored best on the validation split so far.
        task: The task of its data.
        facts: The facts besides the config that the model's numbers depend on, such as the fingerprint of its data.
        inputs: How the inputs of its data are stored and scaled; None in runs of older versions, which load the data.
        files: The fingerprint of the files that it was trained on, or its `sample` alone; None without one.
        trained_root: The folder of these files, `data.root`, when it was trained.
    """

    path: Path
    config: Config
    model: SequenceModel
    task: Task
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    inputs: InputFacts | None = field(default=None, repr=False)
    files: Mapping[str, Any] | str | None = field(default=None, repr=False)
    trained_root: str | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Config | SequenceModel]:
        return iter((self.config, self.model))

    @property
    def metrics(self) -> dict[str, Any]:
        """The final metrics; empty until the run has a result."""
        return dict((read_result(self.path) or {}).get("metrics", {}))

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes, in the order of the model's outputs; empty if the data set has no names."""
        return self.task.class_names

    def predict_classes(
        self,
        inputs: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        times: ArrayLike | None = None,
        batch_size: int = 256,
    ) -> Shaped[np.ndarray, " n"]:
        """Return the most probable class of each input: its name, or its number if the data set has no names.

        Args:
            inputs: As for `predict`, as the other arguments.
            lengths: Valid steps.
            times: When each step was observed.
            batch_size: Number of examples to compute at once.

        Raises:
            ValueError: If an argument does not fit the model, or the model has no classes.
            UserError: As of `predict`.
        """
        if self.task.head == Head.regression.name:
            raise ValueError("predict_classes: this model is a regression; predict returns its outputs")
        numbers = self.predict(inputs, lengths, times=times, batch_size=batch_size).argmax(-1)
        return np.asarray(self.class_names)[numbers] if self.class_names else numbers

    @fixed_numerics()
    def predict(
        self,
        inputs: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        times: ArrayLike | None = None,
        batch_size: int = 256,
    ) -> Float32[np.ndarray, "n *axes d_output"]:
        """Return the model's outputs for inputs in the units of the stored data set.

        The inputs are scaled as in training, so the pixels of pictures can be uint8. The run stores how; only a run of
        an older version needs its data set for this. For inputs that are already scaled, call `model` itself.

        Args:
            inputs: The sequences (n, L, d_stored), padded at their ends to one length L; pairs of documents
                (n, 2, L, d_stored) for a retrieval. Or a list of sequences (L, d_stored) of different lengths.
            lengths: Valid steps of each sequence (n,), or of each document (n, 2); None if all are valid.
            times: When each step was observed (n, L), in units of the regular interval; None if all intervals are 1.
            batch_size: Number of examples to compute at once.

        Returns:
            Logits (n, d_output), or outputs of each step (n, L, d_output), float32.

        Raises:
            ValueError: If an argument does not fit the model, or a value is not finite, a token or a length out of
                range, or times decrease; the message has the argument, the row and the value.
            UserError: If the run does not store how inputs are scaled, and the files of its data set are missing or
                have changed since.
        """
        like = self.inputs or self._read_inputs()
        if lengths is None and times is None:
            inputs, lengths = pad_sequences(inputs)
        inputs, valid_steps = check_given(inputs, lengths, times, like, d_input=self.task.d_input)
        intervals = None if times is None else np.asarray(compute_intervals(np.asarray(times)))
        split = like.make_split(inputs, valid_steps, intervals)
        graphdef, state = nnx.split(self.model)

        @jax.jit
        def compute_outputs(state: PyTree, batch: Batch) -> Array:
            steps = Steps.of(batch.inputs.shape[-2], None if lengths is None else jnp.asarray(batch.lengths))
            # Differences of large times are exact only before the cast to float32, so the batch has the intervals.
            return nnx.merge(graphdef, state)(batch.inputs, steps._replace(intervals=batch.times), train=False)

        batches = eval_batches(split, min(batch_size, len(split)))
        return np.concatenate([np.asarray(compute_outputs(state, batch))[batch.weight > 0] for batch in batches])

    def _read_inputs(self) -> InputFacts:
        """Return how inputs are stored and scaled, from the data set."""
        self.check_same_data(_SCALED)
        return InputFacts.of(load(self.config.data, compat_switches(self.config.compat)))

    def check_same_data(self, hint: str) -> None:
        """Raise UserError if the files of the data set are not those that the run was trained on."""
        check_same_data(self.files, self.config.data, hint=hint, earlier_root=self.trained_root)


@fixed_numerics()
def load_run(run_dir: str | Path, *, data_root: str | Path | None = None) -> StoredRun:
    """Load the best model of a run, to use it, to evaluate it or to train it further.

    Args:
        run_dir: A run directory; the run may still be training.
        data_root: The folder of the raw files of its data, if it is another than in training; predictions of a run that
            stores how its inputs are scaled need no data.

    Raises:
        UserError: If the directory has no config, or no valid checkpoint with an evaluated model, or if variables such
            as `XLA_FLAGS` make this process compute otherwise than the run did.
    """
    run_dir = Path(run_dir)
    config = read_config(run_dir)
    trained_root = config.data.root
    if data_root is not None:
        config.data.root = str(absolute(str(data_root)))
    checkpoint = read_best(run_dir)
    check_flags(checkpoint.environment, subset=True)
    # Old checkpoints have no task; the catalog has it. At that time no data set could differ from its catalog entry.
    task = Task(**checkpoint.progress.get("task") or asdict(Task.of(dataset_info(config.data.name))))
    model = make_model(
        config.model,
        task.d_input,
        task.n_classes,
        nnx.Rngs(config.seed),
        head=Head[task.head],
        compat=compat_switches(config.compat),
    )
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    params = checkpoints.unflatten(params, checkpoint.arrays, BEST_PARAMS)
    stats = checkpoints.unflatten(stats, checkpoint.arrays, BEST_STATS)
    model = nnx.merge(graphdef, params, stats)
    inputs, files = checkpoint.progress.get("inputs"), checkpoint.progress.get("files")
    return StoredRun(
        path=run_dir,
        config=config,
        model=model,
        task=task,
        facts=checkpoint.environment,
        inputs=InputFacts.read(inputs) if inputs else None,
        files=files or checkpoint.environment.get("data"),
        trained_root=trained_root,
    )


def _check_length(config: Config, dataset: Dataset, split: str, step_rescale: float) -> None:
    """Raise UserError if the model cannot read sequences of this length at this rate."""
    if dataset.splits[split].times is not None:
        return
    try:
        config.model.check_length(dataset.length, step_rescale)
    except ValueError as error:
        raise UserError(f"--step-rescale {step_rescale:g}, data.name={dataset.name}: {error}") from error


@fixed_numerics()
def evaluate_run(
    run_dir: Path,
    split: str,
    *,
    data: str | None = None,
    step_rescale: float = 1.0,
    data_root: str | Path | None = None,
) -> dict[str, float]:
    """Return the scores of a run's best model on a split: `SPLIT/loss`, and `SPLIT/accuracy` or `SPLIT/mse`.

    Args:
        run_dir: The run directory.
        split: The split's name.
        data: Another data set with the same features and classes, such as the same recordings at another sampling
            rate; None for the run's own.
        step_rescale: As in `make_eval_step`.
        data_root: As in `load_run`.

    Raises:
        UserError: If the split is unknown, the model cannot read the data, the data are missing or have changed since
            the training, or the run cannot be loaded.
    """
    run = load_run(run_dir, data_root=data_root)
    config, model, task = run.config, run.model, run.task
    if data is None:
        run.check_same_data(_EVALUATED)
    else:
        config.data.name, config.data.version = data, dataset_info(data).version
    dataset = load(config.data, compat_switches(config.compat))
    check_same_task(f"data.name={dataset.name}" if data is None else f"--data {data}", dataset, task)
    if split not in dataset.splits:
        raise UserError(f"--split {split}: no such split", hint=f"the splits are {', '.join(dataset.splits)}")
    _check_length(config, dataset, split, step_rescale)
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    here = jax.local_device_count()
    devices = Devices(min(config.train.devices or here, here))  # a run trained on four devices can be scored on one
    step = make_eval_step(graphdef, valid_lengths(dataset), head=model.kind, devices=devices, step_rescale=step_rescale)
    size = evaluation_size(dataset.splits[split], config.train.eval_batch_size)
    batches = eval_batches(dataset.splits[split], devices.round_up(size))
    params, stats = devices.replicate((params, stats))
    scores = evaluate(step, params, stats, batches, head=model.kind, devices=devices)
    return {f"{split}/{name}": value for name, value in scores.items()}
