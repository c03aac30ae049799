"""The trainer: a model's state on its devices, and the jitted steps that train and evaluate it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from s5.config.choices import Pooling
from s5.config.compat import compat_switches
from s5.config.families import fitting_hint
from s5.config.run import Config
from s5.data import Dataset
from s5.data.batch import Batch, TrainBatches, eval_batches, evaluation_size, gather, steps_per_epoch
from s5.errors import UserError
from s5.models.sequence_model import make_model
from s5.process.sharding import Devices
from s5.training import checkpoints
from s5.training.averaging import make_average_weight, start_average
from s5.training.checkpoints import BEST_PARAMS, BEST_STATS
from s5.training.evaluate import EvalStep, evaluate, is_padded, make_eval_step, valid_lengths
from s5.training.initial_parameters import load_initial
from s5.training.optimizer import make_optimizer
from s5.training.schedule import make_schedule
from s5.training.step import MetricWindow, TrainState, TrainStep, make_train_step
from s5.training.task import Task


class Trainer:
    """The state of a training and the jitted functions that change it.

    Args:
        config: The run's config.
        dataset: Its data.
        devices: The devices that batches are divided over.

    Attributes:
        state: The state after the last step.
        window: Metrics since the last line of `metrics.jsonl`.
        steps_per_epoch: Updates per epoch.
        n_parameters: Number of trained values in the model.
        head: The model's head.

    Raises:
        UserError: If a batch cannot be divided over the devices, or the model cannot read the data.
    """

    def __init__(self, config: Config, dataset: Dataset, devices: Devices) -> None:
        self._config, self._dataset, self._devices = config, dataset, devices
        self.steps_per_epoch = steps_per_epoch(dataset.splits["train"], config.train.examples_per_step)
        devices.check_batch(config.train.examples_per_step, config.train.microbatches)
        _check_pooling(config, dataset)
        _check_fits(config, dataset)
        init_key, dropout_key = jax.random.split(jax.random.key(config.seed))
        rngs = nnx.Rngs(params=init_key)
        model = make_model(
            config.model,
            dataset.d_input,
            dataset.n_classes,
            rngs,
            head=dataset.head,
            compat=compat_switches(config.compat),
        )
        self.head = model.kind
        graphdef, params, stats = nnx.split(model, nnx.Param, ...)
        self.n_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        how = (self.steps_per_epoch, config.train.epochs, compat_switches(config.compat))
        optimizer = make_optimizer(config.optim, params, *how)
        self._lr = jax.jit(make_schedule(config.optim, config.optim.lr, *how))
        weight = make_average_weight(config.train, self.steps_per_epoch)
        self.train_step: TrainStep = make_train_step(
            graphdef,
            optimizer,
            valid_lengths(dataset),
            head=self.head,
            microbatches=config.train.microbatches,
            average_weight=weight,
            devices=devices,
        )
        self._graphdef, self._eval_steps = graphdef, dict[tuple[bool, float], EvalStep]()
        average = weight and start_average(params, stats)
        self.state = TrainState(jnp.zeros((), jnp.int32), dropout_key, params, stats, optimizer.init(params), average)
        self.window = MetricWindow.empty(self.head)

    def load_initial(self, attempt_dir: Path) -> dict[str, Any]:
        """Replace the initial parameters and statistics by those of the run that `train.init_from` names.

        Args:
            attempt_dir: The attempt's folder.

        Returns:
            The record of what was loaded.

        Raises:
            UserError: If that run cannot be loaded, or its parameters do not fit.
        """
        state, task = self.state, Task.of(self._dataset)
        params, stats, record = load_initial(self._config.train, state.params, state.stats, task, attempt_dir)
        self.state = state._replace(params=params, stats=stats)
        return record

    def initialize(self, arrays: checkpoints.Arrays | None) -> None:
        """Copy the initial state, or the state of a checkpoint, to the devices.

        Args:
            arrays: The arrays of a checkpoint, from `arrays`; None to start at step 0.

        Raises:
            UserError: If the arrays belong to another model.
        """
        if arrays is None and not self._devices.processes.is_single:
            # The initial values of two machines may differ in the last bits.
            arrays = self._devices.broadcast_from_main(self.arrays())
        if arrays is not None:
            self.state = checkpoints.unflatten(self.state, arrays, "state")
            self.window = checkpoints.unflatten(self.window, arrays, "interval")
        self.state, self.window = self._devices.replicate((self.state, self.window))

    def arrays(self) -> checkpoints.Arrays:
        """Return state and window as arrays on the host."""
        return {**checkpoints.flatten(self.state, "state"), **checkpoints.flatten(self.window, "interval")}

    def model_arrays(self) -> checkpoints.Arrays:
        """Return parameters and statistics as arrays on the host, as a checkpoint keeps those of the best model."""
        params, stats = self._evaluated()
        return {**checkpoints.flatten(params, BEST_PARAMS), **checkpoints.flatten(stats, BEST_STATS)}

    def _evaluated(self) -> tuple[PyTree, PyTree]:
        """Return the parameters and statistics to evaluate: those of the average, if there is one."""
        return (self.state.params, self.state.stats) if self.state.average is None else self.state.average

    def batches(self) -> TrainBatches:
        """Return the training batches, from step 0, with the rows of this process."""
        size, rows = (
            self._config.train.examples_per_step,
            self._devices.local_rows(self._config.train.examples_per_step),
        )
        split, prefetch = self._dataset.splits["train"], self._config.data.prefetch
        return TrainBatches(split, size, self._config.seed, prefetch=prefetch, rows=rows)

    def step_bytes(self, batch_size: int) -> int:
        """Return the bytes that a training step needs on each device, as the compiler says; nothing is executed.

        Args:
            batch_size: Examples of the step.
        """
        batch = self._devices.batch_shapes(gather(self._dataset.splits["train"], np.zeros(1, np.int64)), batch_size)
        step: Any = self.train_step
        used = step.lower(self.state, self.window, batch).compile().memory_analysis()
        sizes = used.argument_size_in_bytes + used.output_size_in_bytes - used.alias_size_in_bytes
        return sizes + used.temp_size_in_bytes + used.generated_code_size_in_bytes

    def step(self, batch: Batch) -> None:
        """Do one training step."""
        self.state, self.window = self.train_step(self.state, self.window, self._devices.shard_batch(batch))

    def take_window(self) -> MetricWindow:
        """Return the metrics since the last call, and start a new window."""
        taken, self.window = self.window, self._devices.replicate(MetricWindow.empty(self.head))
        return taken

    def evaluate(
        self,
        split: str,
        stopping: Callable[[], bool],
        model: checkpoints.Arrays | None = None,
        *,
        dataset: Dataset | None = None,
        step_rescale: float = 1.0,
    ) -> dict[str, float]:
        """Return the scores of a model on a split.

        Args:
            split: The split's name.
            stopping: Called before every batch; True ends the evaluation.
            model: The model, from `model_arrays`; None for the current one, or the average.
            dataset: The data set of the split; None for the training data.
            step_rescale: Factor on every interval between steps.

        Raises:
            Stopped: If `stopping` returns True.
        """
        dataset = dataset or self._dataset
        size = self._devices.round_up(evaluation_size(dataset.splits[split], self._config.train.eval_batch_size))
        batches = eval_batches(dataset.splits[split], size, self._devices.local_rows(size))
        params, stats = self._evaluated() if model is None else self._unflatten(model)
        step = self._eval_step(dataset, step_rescale)
        return evaluate(step, params, stats, batches, stopping, head=self.head, devices=self._devices)

    def _eval_step(self, dataset: Dataset, step_rescale: float) -> EvalStep:
        """Return the jitted evaluation step; data sets with the same compiled program share it."""
        key = (is_padded(dataset), step_rescale)
        if key not in self._eval_steps:
            self._eval_steps[key] = make_eval_step(
                self._graphdef,
                valid_lengths(dataset),
                head=self.head,
                devices=self._devices,
                step_rescale=step_rescale,
            )
        return self._eval_steps[key]

    def _unflatten(self, model: checkpoints.Arrays) -> tuple[PyTree, PyTree]:
        params = checkpoints.unflatten(self.state.params, model, BEST_PARAMS)
        return self._devices.replicate((params, checkpoints.unflatten(self.state.stats, model, BEST_STATS)))

    def lr(self, step: int) -> float:
        """Return the learning rate of the next update after `step` updates."""
        return float(self._lr(np.int32(step), self.state.opt_state.falls))

    @property
    def reduced_at(self) -> int:
        """Step of the last reduction of the learning rates; 0 before the first."""
        return int(self.state.opt_state.falls.step)

    def reduce_lr(self, step: int) -> None:
        """Reduce the learning rates at a plateau, from the next update on.

        Args:
            step: Steps done.
        """
        before = self.state.opt_state
        falls = self._devices.replicate(before.falls.reduce(step))
        self.state = self.state._replace(opt_state=before._replace(falls=falls))


def _check_fits(config: Config, dataset: Dataset) -> None:
    """Raise UserError if the model cannot read the data."""
    try:
        split = dataset.splits["train"]
        config.model.check_fits(dataset.d_input, dataset.head, tokens=split.tokens, times=split.times is not None)
    except ValueError as error:
        raise UserError(f"{error} (data.name={dataset.name})", hint=fitting_hint(error)) from error
    try:
        if split.times is None:
            config.model.check_length(dataset.length)
    except ValueError as error:
        raise UserError(f"{error} (data.name={dataset.name})") from error


def _check_pooling(config: Config, dataset: Dataset) -> None:
    """Raise if `compat=upstream` and the last step of padded sequences is pooled."""
    last = config.model.pooling is Pooling.last and not dataset.head.per_step
    if compat_switches(config.compat).padding_enters_layers and last and is_padded(dataset):
        raise UserError(
            f"compat=upstream with model.pooling=last: {dataset.name} is padded, and the S5 repository takes the last "
            "step of full sequences only",
            hint="set model.pooling=mean, or leave compat at none",
        )
