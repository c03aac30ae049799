"""The training loop. It orders steps, evaluations and checkpoints; the computation is in `s5.training.step`.

After a step the loop writes, if they are due and in this order: a line of metrics, an evaluation, a checkpoint. A run
can be stopped or killed between any two of them. A checkpoint records what is done; a resumed run does only the rest.
"""

import dataclasses
from pathlib import Path
from typing import Any

from s5.catalog import check_version, data_fingerprint, dataset_info
from s5.config.compat import compat_switches
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.config.training import describe_long_warmup
from s5.data import Dataset, load
from s5.data.input_facts import InputFacts
from s5.errors import NonFiniteLoss, Stopped, UserError, say
from s5.process import device, distributed
from s5.process.distributed import ProcessGroup
from s5.process.flags import check_flags
from s5.process.numerics import fixed_numerics
from s5.process.sharding import Devices
from s5.process.shutdown import LocalStopRequest, StopRequest
from s5.run_dir.result import FINAL_METRICS, write_result
from s5.training import checkpoints
from s5.training.batch_size import settle_batch_size
from s5.training.checkpoints import BEST, Checkpoint
from s5.training.extension import load_extended
from s5.training.initial_parameters import describe_initial
from s5.training.metrics_writer import MetricsListener, MetricsWriter, NullWriter
from s5.training.progress import OWN, Progress, check_same_run
from s5.training.same_data import check_same_data
from s5.training.schedule import has_plateaued
from s5.training.scores import format_scores, rank
from s5.training.step import MetricWindow
from s5.training.task import Task, check_same_task
from s5.training.trainer import Trainer

_OTHER_DATA = "restore the files and the config that the run began with, or start it again in another folder"
_CHANGED_DATA = "put the earlier files back, or name their folder in data.root; other data need a run of their own"


@fixed_numerics()
def train(
    config: Config,
    run_dir: Path,
    attempt_dir: Path,
    stop: StopRequest | None = None,
    processes: ProcessGroup | None = None,
    on_metrics: MetricsListener | None = None,
) -> dict[str, float]:
    """Train a run to its end, from its newest checkpoint if it has one, and write the attempt's `result.json`.

    Args:
        config: The run's config.
        run_dir: The run directory, with the checkpoints of earlier attempts.
        attempt_dir: `RUN_DIR/attempts/K`, claimed by the caller; all output goes there.
        stop: Tells when to stop; None to listen for signals and the end of the supervisor's pipe.
        processes: The processes of the run, and the rank of this process; None for a single process. Only process 0
            reads and writes in the run directory.
        on_metrics: Called for every line of metrics.

    Returns:
        The final metrics: the scores of the best model by validation on `test` and `val`, and on the test split of
        `data.zero_shot` if that is set.

    Raises:
        Stopped: On request; a checkpoint of the current step is written.
        NonFiniteLoss: If the loss is not finite; the message names the step.
        PeerLost: If another process of the run has ended.
        UserError: If the data, the device or the config cannot be used.
    """
    stop, processes = stop or LocalStopRequest.from_environment(), processes or ProcessGroup()
    distributed.initialize(processes)
    device.start(config.platform)
    devices = Devices(config.train.devices, processes)  # before the data, since loading them may take long
    dataset = load(config.data, compat_switches(config.compat))
    # All processes raise these two together, so they can shut down together; after any other error they cannot.
    try:
        with MetricsWriter(config, attempt_dir, on_metrics) if processes.is_main else NullWriter() as writer:
            loop = Loop(config, dataset, run_dir, attempt_dir, devices.shared_stop(stop), writer, devices)
            metrics = loop.run()
    except (Stopped, NonFiniteLoss):
        distributed.shutdown(processes)
        raise
    distributed.shutdown(processes)
    return metrics


class Loop:
    """The training of one attempt.

    Args:
        config: The run's config.
        dataset: Its data.
        run_dir: The run directory.
        attempt_dir: The attempt's folder.
        stop: Tells when to stop, at the same step in all processes of the run.
        writer: Writes metrics and timing.
        devices: The devices that batches are divided over; None for one device.

    Attributes:
        trainer: The state on the devices, and the functions that change it.
        progress: The state on the host.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        run_dir: Path,
        attempt_dir: Path,
        stop: StopRequest,
        writer: MetricsWriter | NullWriter,
        devices: Devices | None = None,
    ) -> None:
        self._dataset, self._attempt_dir = dataset, attempt_dir
        self._stop, self._writer = stop, writer
        self._devices = devices or Devices(1)
        self._is_main = self._devices.processes.is_main
        identity = science_hash(to_dict(config))  # the word auto belongs to it, the number that was found does not
        checkpoint, is_own = self._find_checkpoint(config, run_dir)
        before = checkpoint and checkpoint.progress.get("batch_size")
        self._config, found = config, _ = settle_batch_size(config, dataset, self._devices, before)
        self.trainer = Trainer(config, dataset, self._devices)
        self.steps_per_epoch = self.trainer.steps_per_epoch
        self.total_steps = self.steps_per_epoch * config.train.epochs
        self._environment = {**device.environment(), "devices": self._devices.count}
        task = dataclasses.asdict(Task.of(dataset))
        inputs = InputFacts.of(dataset).to_json()
        self.progress = Progress(task=task, inputs=inputs, science_hash=identity, batch_size=found)
        # Read at the start: the files may change while the run trains.
        self._data = data_fingerprint(config.data.name, config.data.root) if self._is_main else None
        self._environment["data"], self.progress.files = self._data and self._data["sample"], self._data
        self._zero_shot = _load_zero_shot(config, dataset)
        self._best_arrays: checkpoints.Arrays = {}
        self._pending: tuple[int, MetricWindow] | None = None
        self._saved: tuple[int, int] = (0, 0)
        self._resume(run_dir, checkpoint, is_own)

    def _find_checkpoint(self, config: Config, run_dir: Path) -> tuple[Checkpoint | None, bool]:
        """Return the newest valid checkpoint of the run, or of the run that it extends, and whether it is its own."""
        checkpoint = self._devices.broadcast_from_main(checkpoints.newest(run_dir) if self._is_main else None)
        if checkpoint is not None or config.train.extend_from is None:
            return checkpoint, checkpoint is not None
        return self._devices.broadcast_from_main(load_extended(config) if self._is_main else None), False

    def _resume(self, run_dir: Path, checkpoint: Checkpoint | None, is_own: bool) -> None:
        """Restore a checkpoint; without one, start fresh."""
        if is_own and checkpoint is not None:
            check_same_run(checkpoint.progress.get("science_hash"), self.progress.science_hash or "", run_dir)
            if self._is_main:
                before = checkpoint.progress.get("files") or checkpoint.environment.get("data")
                check_same_data(before, self._config.data, hint=_CHANGED_DATA, now=self._data)
        if checkpoint is not None and (task := checkpoint.progress.get("task")):
            check_same_task(f"data.name={self._dataset.name}", self._dataset, Task(**task), hint=_OTHER_DATA)
        if checkpoint is None and self._config.train.init_from is not None and self._is_main:
            self.progress.init_from = self.trainer.load_initial(self._attempt_dir)
            self._say(f"s5: {describe_initial(self.progress.init_from)}")
        self.trainer.initialize(checkpoint and checkpoint.arrays)
        if checkpoint is None:
            return
        self._best_arrays = {name: array for name, array in checkpoint.arrays.items() if name.startswith(BEST)}
        own = {name: getattr(self.progress, name) for name in OWN}
        self.progress = Progress(**{**checkpoint.progress, **own})
        self._saved = (self.progress.step, self.progress.evaluated_step)
        if is_own:
            self._writer.write_resumed_from(checkpoint.attempt, checkpoint.step)
        elif self._should_stop_early():
            raise UserError(f"{self._config.train.extend_from} stopped early", hint="add train.early_stop_epochs=null")
        check_flags(checkpoint.environment)
        for key in sorted(self._environment.keys() - {"flags", "data"}):
            before, now = checkpoint.environment.get(key), self._environment[key]
            if before != now:
                self._say(f"s5: {key} was {before} and is {now}: results may differ from an uninterrupted run")

    def run(self) -> dict[str, float]:
        """Train, evaluate the best model on the test split, and write the result."""
        progress, stopping = self.progress, lambda: self._stop.stopping
        self._log_start()
        try:
            self._train()
            self._writer.write_timing(progress.step, self.total_steps, progress.step / self.steps_per_epoch)
            scores = {"val": progress.best, "test": self.trainer.evaluate("test", stopping, self._best_arrays)}
            if self._zero_shot is not None:
                scores["zero_shot"] = self._evaluate_zero_shot(self._zero_shot)
        except Stopped:
            self._save()
            self._say(f"s5: stopped after step {progress.step} of {self.total_steps} ({self._stop.reason})")
            raise
        # Not written to metrics.jsonl: after a kill before the result is written, the line would be repeated.
        every = {f"{split}/{kind}": value for split, kinds in scores.items() for kind, value in kinds.items()}
        metrics = {name: every[name] for name in FINAL_METRICS if name in every}
        tested = {name: value for name, value in metrics.items() if not name.startswith("val/")}
        self._writer.log_to_wandb(progress.step, tested)
        if self._is_main:
            source: dict[str, Any] = {"init_from": progress.init_from, "extends": progress.extends, "data": self._data}
            source["batch_size"] = progress.batch_size
            write_result(
                self._attempt_dir,
                metrics,
                steps=progress.step,
                best_step=progress.best_step,
                parameters=self.trainer.n_parameters,
                environment=self._environment,
                **{key: record for key, record in source.items() if record is not None},
            )
        self._say(f"s5: done; {format_scores('test', scores['test'])}, best validation at step {progress.best_step}")
        return metrics

    def _evaluate_zero_shot(self, dataset: Dataset) -> dict[str, float]:
        """Return the scores of the best model on a data set that it was not trained on."""
        scores = self.trainer.evaluate(
            "test",
            lambda: self._stop.stopping,
            self._best_arrays,
            dataset=dataset,
            step_rescale=self._config.data.zero_shot_rescale,
        )
        self._say(f"s5: zero-shot: {format_scores(dataset.name, scores)}")
        return scores

    def _train(self) -> None:
        """Run the remaining steps, with metrics, evaluations and checkpoints."""
        train, progress = self._config.train, self.progress
        batches = self.trainer.batches()
        try:
            try:
                batches.set_state(progress.data or batches.get_state())
            except ValueError as error:
                raise UserError(str(error), hint=_OTHER_DATA) from error
            self._finish_step()
            while progress.step < self.total_steps and not self._should_stop_early():
                self.trainer.step(next(batches))
                # Reading the last window waits for the device, so first give the device its next step.
                self._write_pending()
                progress.step, progress.data = progress.step + 1, batches.get_state()
                if progress.step % train.log_every_steps == 0:
                    self._pending = progress.step, self.trainer.take_window()
                self._finish_step()
        finally:
            batches.close()

    def _finish_step(self) -> None:
        """Evaluate and save if this is due after the current step; raise `Stopped` if a stop was requested."""
        step, train = self.progress.step, self._config.train
        if self._stop.stopping:
            raise Stopped
        ends_epoch = step > 0 and step % self.steps_per_epoch == 0
        evaluates = ends_epoch and (step // self.steps_per_epoch % train.eval_every_epochs == 0)
        if (evaluates or step == self.total_steps) and self.progress.evaluated_step < step:
            self._evaluate()
        saves = (
            ends_epoch if train.checkpoint_every_steps is None else step and step % train.checkpoint_every_steps == 0
        )
        if saves or step == self.total_steps or self._should_stop_early():
            self._save()

    def _evaluate(self) -> None:
        """Evaluate the model on the validation split, and keep a copy if it is the best so far."""
        self._write_pending()
        _check_finite(self.trainer.window)  # otherwise a model with nan could become the best
        progress, compat = self.progress, compat_switches(self._config.compat)
        scores = self.trainer.evaluate("val", lambda: self._stop.stopping)
        if progress.best_step is None or rank(scores, compat) > rank(progress.best, compat):
            progress.best_step, progress.best = progress.step, scores
            self._best_arrays = self.trainer.model_arrays()
        progress.evaluated_step = progress.step
        self._writer.write(progress.step, {f"val/{name}": value for name, value in scores.items()})
        waited = progress.step - max(progress.best_step, self.trainer.reduced_at)
        if has_plateaued(self._config.optim, waited, self.steps_per_epoch, compat):
            self.trainer.reduce_lr(progress.step)
        self._say(
            f"s5: step {progress.step}/{self.total_steps}  epoch {progress.step / self.steps_per_epoch:g}  "
            + format_scores("val", scores)
        )

    def _should_stop_early(self) -> bool:
        patience = self._config.train.early_stop_epochs
        if patience is None or self.progress.best_step is None:
            return False
        return self.progress.evaluated_step - self.progress.best_step >= patience * self.steps_per_epoch

    def _write_pending(self) -> None:
        """Write the metrics of the last window; waits for the device."""
        if self._pending is None:
            return
        (step, window), self._pending = self._pending, None
        _check_finite(window)
        means = window.sums.means()
        values = {f"train/{name}": value for name, value in means.items()}
        self._writer.write(step, {**values, "lr": self.trainer.lr(step - 1)})
        self._writer.write_timing(step, self.total_steps, step / self.steps_per_epoch)

    def _save(self) -> None:
        """Write all metrics up to the current step, then a checkpoint; write none if this step is saved already."""
        self._write_pending()
        _check_finite(self.trainer.window)
        now = (self.progress.step, self.progress.evaluated_step)
        if now == self._saved:
            return
        if self._is_main:
            self._writer.flush()
            checkpoints.save(
                self._attempt_dir,
                self.progress.step,
                {**self.trainer.arrays(), **self._best_arrays},
                dataclasses.asdict(self.progress),
                self._environment,
                self._config.train.keep_checkpoints,
            )
        self._saved = now

    def _log_start(self) -> None:
        if doubt := describe_long_warmup(self._config.optim.warmup_epochs, self._config.train.epochs):
            self._say(f"s5: warning: {doubt}")
        self._say(
            f"s5: {self._config.recipe or self._dataset.name}, seed {self._config.seed}: "
            f"{self.trainer.n_parameters:,} parameters, {self.total_steps} steps of "
            f"{self._config.train.examples_per_step} on {device.describe(self._devices.count)}"
        )
        if (extended := self.progress.extends) and extended["step"] == self.progress.step:
            self._say(f"s5: extending {extended['run_dir']} after step {self.progress.step}")
        elif self.progress.step:
            self._say(f"s5: resuming after step {self.progress.step}")
        self._writer.write_timing(self.progress.step, self.total_steps, self.progress.step / self.steps_per_epoch)

    def _say(self, message: str) -> None:
        """Print a message in the first process only."""
        if self._is_main:
            say(message)


def _load_zero_shot(config: Config, dataset: Dataset) -> Dataset | None:
    """Return the data set of `data.zero_shot`, or None. It is loaded before the training, so that errors show early."""
    name = config.data.zero_shot
    if name is None:
        return None
    version = config.data.zero_shot_version
    check_version(dataset_info(name), version, "data.zero_shot_version")
    other = load(dataclasses.replace(config.data, name=name, version=version), compat_switches(config.compat))
    check_same_task(f"data.zero_shot={name}", other, Task.of(dataset))
    return other


def _check_finite(window: MetricWindow) -> None:
    bad_step = int(window.bad_step)
    if bad_step:
        raise NonFiniteLoss(f"the loss or the updated parameters are not finite from step {bad_step} on")
