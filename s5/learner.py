"""What a run computes with: the model's state on its devices, the jitted steps, and both as plain arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from s5 import checkpoints
from s5.choices import Compat, Head, Pooling
from s5.config import Config
from s5.data import Dataset
from s5.data.batch import Batch, TrainBatches, eval_batches, steps_per_epoch, train_batches
from s5.errors import UserError
from s5.evaluate import BEST_PARAMS, BEST_STATS, EvalStep, evaluate, is_padded, make_eval_step, valid_lengths
from s5.models import make_model
from s5.optim import make_optimizer
from s5.parallel import Devices
from s5.schedule import make_schedule
from s5.step import Interval, TrainState, TrainStep, make_train_step


class Learner:
    """The state of a training and the programs that change it.

    Args:
        config: The run's config.
        dataset: Its data.
        devices: What its batches are divided over.

    Attributes:
        state: The state after the last step.
        interval: What the steps of the present log interval have gathered.
        steps_per_epoch: Updates per epoch.
        n_parameters: Trained numbers of the model.

    Raises:
        UserError: Where a batch cannot be divided, or `compat` has no such model.
    """

    def __init__(self, config: Config, dataset: Dataset, devices: Devices) -> None:
        self._config, self._dataset, self._devices = config, dataset, devices
        self.steps_per_epoch = steps_per_epoch(dataset.splits["train"], config.train.batch_size)
        devices.check_batch(config.train.batch_size, config.train.microbatches)
        _check_pooling(config, dataset)
        init_key, dropout_key = jax.random.split(jax.random.key(config.seed))
        rngs = nnx.Rngs(params=init_key)
        model = make_model(
            config.model, dataset.d_input, dataset.n_classes, rngs, head=dataset.head, compat=config.compat
        )
        graphdef, params, stats = nnx.split(model, nnx.Param, ...)
        self.n_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        how = (self.steps_per_epoch, config.train.epochs, config.compat)
        optimizer = make_optimizer(config.optim, params, *how)
        self._lr = jax.jit(make_schedule(config.optim, config.optim.lr, *how))
        lengths_of, head = valid_lengths(dataset), dataset.head
        self.train_step: TrainStep = make_train_step(
            graphdef, optimizer, lengths_of, head=head, microbatches=config.train.microbatches, devices=devices
        )
        self._eval_step: EvalStep = make_eval_step(graphdef, lengths_of, head=head, devices=devices)
        self.state = TrainState(jnp.zeros((), jnp.int32), dropout_key, params, stats, optimizer.init(params))
        self.interval = Interval.fresh(head)

    def start(self, arrays: checkpoints.Arrays | None) -> None:
        """Put the state on the devices: fresh, or as a checkpoint holds it.

        Args:
            arrays: What `arrays` returned; None to start afresh.

        Raises:
            UserError: Where they are of another model.
        """
        if arrays is None and not self._devices.team.alone:
            # Two machines may differ in the last bits of the initial values.
            arrays = self._devices.from_leader(self.arrays())
        if arrays is not None:
            self.state = checkpoints.unflatten(self.state, arrays, "state")
            self.interval = checkpoints.unflatten(self.interval, arrays, "interval")
        self.state, self.interval = self._devices.place((self.state, self.interval))

    def arrays(self) -> checkpoints.Arrays:
        """Return state and interval as arrays on the host."""
        return {**checkpoints.flatten(self.state, "state"), **checkpoints.flatten(self.interval, "interval")}

    def model_arrays(self) -> checkpoints.Arrays:
        """Return the model as arrays on the host: what a checkpoint keeps of the best one."""
        return {
            **checkpoints.flatten(self.state.params, BEST_PARAMS),
            **checkpoints.flatten(self.state.stats, BEST_STATS),
        }

    def batches(self) -> TrainBatches:
        """Return the training batches from the first on: those rows that this process reads."""
        train, rows = self._config.train, self._devices.rows(self._config.train.batch_size)
        split, prefetch = self._dataset.splits["train"], self._config.data.prefetch
        return train_batches(split, train.batch_size, self._config.seed, prefetch=prefetch, rows=rows)

    def step(self, batch: Batch) -> None:
        """Do one step."""
        self.state, self.interval = self.train_step(self.state, self.interval, self._devices.place_batch(batch))

    def take_interval(self) -> Interval:
        """Return the log interval and begin a new one."""
        taken, self.interval = self.interval, self._devices.place(Interval.fresh(self._dataset.head))
        return taken

    def evaluate(
        self, split: str, stopping: Callable[[], bool], model: checkpoints.Arrays | None = None
    ) -> dict[str, float]:
        """Return the scores of a model on a split.

        Args:
            split: The split's name.
            stopping: Asked before every batch.
            model: What `model_arrays` returned; None for the present one.

        Raises:
            Stopped: Where `stopping` says so before the end.
        """
        size = self._devices.filled(self._config.train.eval_batch_size)
        batches = eval_batches(self._dataset.splits[split], size, self._devices.rows(size))
        params, stats = (self.state.params, self.state.stats) if model is None else self._unflatten(model)
        head, devices = self._dataset.head, self._devices
        return evaluate(self._eval_step, params, stats, batches, stopping, head=head, devices=devices)

    def _unflatten(self, model: checkpoints.Arrays) -> tuple[PyTree, PyTree]:
        params = checkpoints.unflatten(self.state.params, model, BEST_PARAMS)
        return self._devices.place((params, checkpoints.unflatten(self.state.stats, model, BEST_STATS)))

    def lr(self, step: int) -> float:
        """Return the learning rate of the update after `step` others."""
        return float(self._lr(np.int32(step), self.state.opt_state.falls))

    @property
    def fell_at(self) -> int:
        """After how many steps the rates fell last; 0 before."""
        return int(self.state.opt_state.falls.step)

    def let_rates_fall(self, step: int) -> None:
        """Let the learning rates fall once more, from the next update on.

        Args:
            step: Steps done.
        """
        before = self.state.opt_state
        falls = self._devices.place(before.falls.fall(step))
        self.state = self.state._replace(opt_state=before._replace(falls=falls))


def _check_pooling(config: Config, dataset: Dataset) -> None:
    """Refuse what the S5 repository cannot do where its behaviour is asked for."""
    last = config.model.pooling is Pooling.last and dataset.head is not Head.regression
    if config.compat is Compat.upstream and last and is_padded(dataset):
        raise UserError(
            f"compat=upstream with model.pooling=last: {dataset.name} is padded, and the S5 repository takes the last "
            "step of full sequences only",
            hint="set model.pooling=mean, or leave compat at none",
        )
