"""Training: the loop, which only orders effects; `s5.step` holds what is computed.

The order of effects of one step is: the step, its lines of metrics, its evaluation, its checkpoint, the stop. A run
can be cut between any two of them; what is in a checkpoint says what of its step is still to be done.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from s5 import checkpoints, device
from s5.config import Config
from s5.data import Dataset, load
from s5.data.batch import eval_batches, steps_per_epoch, train_batches
from s5.errors import NotANumber, Stopped, say
from s5.evaluate import (
    BEST_PARAMS,
    BEST_STATS,
    EvalStep,
    evaluate,
    make_eval_step,
    valid_lengths,
)
from s5.journal import Journal
from s5.lifeline import Lifeline
from s5.models import make_model
from s5.optim import make_optimizer, make_schedule
from s5.result import FINAL_METRICS, write_result
from s5.step import Interval, TrainState, TrainStep, make_train_step


@dataclasses.dataclass(kw_only=True)
class Progress:
    """What the loop keeps on the host, and every checkpoint with it.

    step: Steps done.
    evaluated_step: The last step whose evaluation is written.
    best_step: The evaluated step with the best validation score; None before the first.
    best: Its scores.
    data: Where the iterator of the training batches stands.
    """

    step: int = 0
    evaluated_step: int = 0
    best_step: int | None = None
    best: dict[str, float] = dataclasses.field(default_factory=dict)
    data: dict[str, Any] = dataclasses.field(default_factory=dict)


def train(config: Config, run_dir: Path, attempt_dir: Path, lifeline: Lifeline | None = None) -> dict[str, float]:
    """Train a run to its end, from its newest checkpoint if it has one, and write the attempt's `result.json`.

    Args:
        config: The run's config.
        run_dir: The run directory; earlier attempts' checkpoints are looked for in it.
        attempt_dir: `RUN_DIR/attempts/K`, claimed by the caller; all that is written goes there.
        lifeline: What says when to stop; None listens to signals and to the environment's pipe.

    Returns:
        The final metrics: loss and accuracy of the best validated model on `test` and `val`.

    Raises:
        Stopped: Asked to stop; a checkpoint at the current step is written.
        NotANumber: The loss is not finite; the message names the step.
        UserError: For data, a device or a config that cannot work.
    """
    lifeline = lifeline or Lifeline.from_environment()
    device.require(config.platform)
    dataset = load(config.data)
    with Journal(config, attempt_dir) as journal:
        return Loop(config, dataset, run_dir, attempt_dir, lifeline, journal).run()


class Loop:
    """The training of one attempt.

    Args:
        config: The run's config.
        dataset: Its data.
        run_dir: The run directory.
        attempt_dir: The attempt's folder.
        lifeline: What says when to stop.
        journal: Where the numbers go.
    """

    def __init__(
        self, config: Config, dataset: Dataset, run_dir: Path, attempt_dir: Path, lifeline: Lifeline, journal: Journal
    ) -> None:
        self._config, self._dataset, self._attempt_dir = config, dataset, attempt_dir
        self._lifeline, self._journal = lifeline, journal
        self.steps_per_epoch = steps_per_epoch(dataset.splits["train"], config.train.batch_size)
        self.total_steps = self.steps_per_epoch * config.train.epochs
        self._environment = device.environment()
        self._build()
        self.progress = Progress()
        self._best_arrays: checkpoints.Arrays = {}
        self._pending: tuple[int, Interval] | None = None
        self._saved: tuple[int, int] = (0, 0)
        self._resume(run_dir)

    def _build(self) -> None:
        """Make the model, the optimizer and the two jitted steps."""
        config, dataset = self._config, self._dataset
        init_key, dropout_key = jax.random.split(jax.random.key(config.seed))
        model = make_model(config.model, dataset.d_input, dataset.n_classes, nnx.Rngs(params=init_key))
        graphdef, params, stats = nnx.split(model, nnx.Param, ...)
        optimizer = make_optimizer(config.optim, params, self.steps_per_epoch, config.train.epochs)
        self._lr = jax.jit(make_schedule(config.optim, config.optim.lr, self.steps_per_epoch, config.train.epochs))
        lengths_of = valid_lengths(dataset)
        self._train_step: TrainStep = make_train_step(graphdef, optimizer, lengths_of)
        self._eval_step: EvalStep = make_eval_step(graphdef, lengths_of)
        step = jnp.zeros((), jnp.int32)
        self.state = TrainState(step, dropout_key, params, stats, optimizer.init(params))
        self._interval = Interval.fresh()
        self.n_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))

    def _resume(self, run_dir: Path) -> None:
        """Take over the newest valid checkpoint of the run's attempts, if there is one."""
        checkpoint = checkpoints.newest(run_dir)
        if checkpoint is None:
            return
        self.state = checkpoints.unflatten(self.state, checkpoint.arrays, "state")
        self._interval = checkpoints.unflatten(self._interval, checkpoint.arrays, "interval")
        self._best_arrays = {name: array for name, array in checkpoint.arrays.items() if name.startswith("best/")}
        self.progress = Progress(**checkpoint.progress)
        self._saved = (self.progress.step, self.progress.evaluated_step)
        self._journal.resume(checkpoint.attempt, checkpoint.step)
        changed = [k for k, v in self._environment.items() if checkpoint.environment.get(k) != v]
        for key in changed:
            before, now = checkpoint.environment.get(key), self._environment[key]
            say(f"s5: {key} was {before} and is {now}: the numbers may differ from an uninterrupted run's")

    def run(self) -> dict[str, float]:
        """Train, evaluate the best model on the test split, write the result."""
        progress, stopping = self.progress, lambda: self._lifeline.stopping
        self._announce()
        try:
            self._train()
            params, stats = self._best_model()
            batches = eval_batches(self._dataset.splits["test"], self._config.train.eval_batch_size)
            test = evaluate(self._eval_step, params, stats, batches, stopping)
        except Stopped:
            self._save()
            say(f"s5: stopped after step {progress.step} of {self.total_steps} ({self._lifeline.why})")
            raise
        # Not in metrics.jsonl: a kill between that line and the result would have it repeated.
        self._journal.mirror(progress.step, {f"test/{name}": value for name, value in test.items()})
        scores = {"test": test, "val": progress.best}
        metrics = {name: scores[split][kind] for name in FINAL_METRICS for split, kind in [name.split("/")]}
        write_result(
            self._attempt_dir,
            metrics,
            steps=progress.step,
            best_step=progress.best_step,
            parameters=self.n_parameters,
            environment=self._environment,
        )
        say(f"s5: done; test accuracy {100 * test['accuracy']:.2f} %, best validation at step {progress.best_step}")
        return metrics

    def _train(self) -> None:
        """Do the steps that are left, with all that belongs to each."""
        train, progress = self._config.train, self.progress
        batches = train_batches(
            self._dataset.splits["train"], train.batch_size, self._config.seed, prefetch=self._config.data.prefetch
        )
        try:
            batches.set_state(progress.data or batches.get_state())
            self._finish_step()
            while progress.step < self.total_steps and not self._ends_early():
                self.state, self._interval = self._train_step(self.state, self._interval, next(batches))
                # The interval before is read only now that the device has work again.
                self._write_pending()
                progress.step, progress.data = progress.step + 1, batches.get_state()
                if progress.step % train.log_every_steps == 0:
                    self._pending, self._interval = (progress.step, self._interval), Interval.fresh()
                self._finish_step()
        finally:
            batches.close()

    def _finish_step(self) -> None:
        """Evaluate, save and stop where the current step asks for it; what a resumed run has done is not repeated."""
        step, train = self.progress.step, self._config.train
        if self._lifeline.stopping:
            raise Stopped
        ends_epoch = step > 0 and step % self.steps_per_epoch == 0
        evaluates = ends_epoch and (step // self.steps_per_epoch % train.eval_every_epochs == 0)
        if (evaluates or step == self.total_steps) and self.progress.evaluated_step < step:
            self._evaluate()
        saves = (
            ends_epoch if train.checkpoint_every_steps is None else step and step % train.checkpoint_every_steps == 0
        )
        if saves or step == self.total_steps or self._ends_early():
            self._save()

    def _evaluate(self) -> None:
        """Score the model on the validation split and remember it if it is the best."""
        self._write_pending()
        batches = eval_batches(self._dataset.splits["val"], self._config.train.eval_batch_size)
        state, progress = self.state, self.progress
        scores = evaluate(self._eval_step, state.params, state.stats, batches, lambda: self._lifeline.stopping)
        # The higher accuracy; among equals the lower loss; among those the earlier.
        if progress.best_step is None or _rank(scores) > _rank(progress.best):
            progress.best_step, progress.best = progress.step, scores
            self._best_arrays = {
                **checkpoints.flatten(state.params, BEST_PARAMS),
                **checkpoints.flatten(state.stats, BEST_STATS),
            }
        progress.evaluated_step = progress.step
        self._journal.write(progress.step, {f"val/{name}": value for name, value in scores.items()})
        say(
            f"s5: step {progress.step}/{self.total_steps}  epoch {progress.step / self.steps_per_epoch:g}  "
            f"val accuracy {100 * scores['accuracy']:.2f} %  val loss {scores['loss']:.4f}"
        )

    def _ends_early(self) -> bool:
        patience = self._config.train.early_stop_epochs
        if patience is None or self.progress.best_step is None:
            return False
        return self.progress.evaluated_step - self.progress.best_step >= patience * self.steps_per_epoch

    def _write_pending(self) -> None:
        """Write the line of the last log interval; waits for the device."""
        if self._pending is None:
            return
        (step, interval), self._pending = self._pending, None
        _refuse_nan(interval)
        means = interval.sums.means()
        values = {f"train/{name}": value for name, value in means.items()}
        self._journal.write(step, {**values, "lr": float(self._lr(jnp.asarray(step - 1)))})
        self._journal.time(step, self.total_steps, step / self.steps_per_epoch)

    def _save(self) -> None:
        """Write a checkpoint of the current step, after all its lines are on disk."""
        self._write_pending()
        _refuse_nan(self._interval)
        now = (self.progress.step, self.progress.evaluated_step)
        if now == self._saved:
            return
        self._journal.flush()
        arrays = {
            **checkpoints.flatten(self.state, "state"),
            **checkpoints.flatten(self._interval, "interval"),
            **self._best_arrays,
        }
        checkpoints.save(
            self._attempt_dir,
            self.progress.step,
            arrays,
            dataclasses.asdict(self.progress),
            self._environment,
            self._config.train.keep_checkpoints,
        )
        self._saved = now

    def _best_model(self) -> tuple[PyTree, PyTree]:
        """Return the parameters and the statistics that scored best."""
        params = checkpoints.unflatten(self.state.params, self._best_arrays, BEST_PARAMS)
        return params, checkpoints.unflatten(self.state.stats, self._best_arrays, BEST_STATS)

    def _announce(self) -> None:
        say(
            f"s5: {self._config.recipe or self._dataset.name}, seed {self._config.seed}: {self.n_parameters:,} "
            f"parameters, {self.total_steps} steps of {self._config.train.batch_size} on {device.describe()}"
        )
        if self.progress.step:
            say(f"s5: going on after step {self.progress.step}")
        self._journal.time(self.progress.step, self.total_steps, self.progress.step / self.steps_per_epoch)


def _refuse_nan(interval: Interval) -> None:
    bad_step = int(interval.bad_step)
    if bad_step:
        raise NotANumber(f"the loss is not finite from step {bad_step} on")


def _rank(scores: dict[str, float]) -> tuple[float, float]:
    loss = scores["loss"]
    return scores["accuracy"], -loss if np.isfinite(loss) else -np.inf
