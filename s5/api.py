"""The Python interface: make a configuration and its model, train, load a stored run, evaluate.

`import s5` offers these names, and loads this module when one of them is used.
"""

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, final

import jax
from flax import nnx

from s5.catalog import check_available, check_version, dataset_info
from s5.config.choices import Head
from s5.config.compat import compat_switches
from s5.config.compose import compose
from s5.config.run import Config
from s5.errors import Stopped
from s5.models import sequence_model
from s5.models.sequence_model import SequenceModel
from s5.process.shutdown import StopRequest
from s5.run_dir.result import RESULT
from s5.training.metrics_writer import MetricsListener
from s5.training.run import train_run
from s5.training.single_run import default_run_dir, prepare_run_dir
from s5.training.stored_run import StoredRun, evaluate_run, load_run


def make_config(*overrides: str) -> Config:
    """Compose a configuration, as `python -m s5` does.

    Args:
        overrides: In Hydra's grammar: `experiment=digits/s5`, `model=lru`, `optim.lr=3e-3`.

    Raises:
        UserError: If a key or a value is not valid.
    """
    return compose(overrides)


def make_model(config: Config, *, d_input: int | None = None, d_output: int | None = None) -> SequenceModel:
    """Build the model of a configuration with fresh parameters, seeded by `config.seed`.

    A training with this configuration starts from the same model. The function also works inside `jax.jit` or
    `nnx.eval_shape`: the initial values are computed during tracing.

    Args:
        config: The configuration.
        d_input: Features of an input step, or number of different tokens; None for the data set's number.
        d_output: Number of classes, or features of an output step; None for the data set's number.

    Raises:
        TypeError: If `config` is only a part of a configuration, such as `config.model`.
    """
    _check_whole(config)
    info = dataset_info(config.data.name)
    with jax.ensure_compile_time_eval():  # NumPy draws the initial values, and cannot read what JAX traces
        return sequence_model.make_model(
            config.model,
            info.d_input if d_input is None else d_input,
            info.n_classes if d_output is None else d_output,
            nnx.Rngs(config.seed),
            head=Head(info.head),
            compat=compat_switches(config.compat),
        )


def _check_whole(config: object) -> None:
    if not isinstance(config, Config):
        raise TypeError(
            f"s5.make_model takes the whole configuration that s5.make_config returns, not a {type(config).__name__}; "
            "its data set decides the head, and its seed the initial values: s5.make_model(config)"
        )


def train(config: Config, run_dir: str | Path | None = None, *, on_metrics: MetricsListener | None = None) -> StoredRun:
    """Train a run to its end: start it, resume it if it was interrupted, or load it if it has finished.

    Ctrl-C stops the training with a checkpoint and raises KeyboardInterrupt; the same call resumes it.

    Args:
        config: The run's configuration.
        run_dir: The run directory; None for `runs/_single/<recipe>-s<seed>-<hash>`, as `python -m s5` names it.
        on_metrics: Called with the step and its metrics for every line of `metrics.jsonl`.

    Returns:
        The run, with its best model and its metrics.

    Raises:
        UserError: If data are missing, or the directory contains another run.
        NonFiniteLoss: If the loss is not finite.
        KeyboardInterrupt: On Ctrl-C.
    """
    folder = Path(run_dir or default_run_dir(config)).absolute()
    if not (folder / RESULT).exists():
        check_version(dataset_info(config.data.name), config.data.version)
        check_available(config.data.name, config.data.root, config.data.cache)
    prepare_run_dir(folder, config)
    with _CtrlC() as stop:
        try:
            train_run(config, folder, stop, on_metrics)
        except Stopped:
            raise KeyboardInterrupt from None
    return load_run(folder)


def evaluate(
    run: StoredRun | str | Path,
    split: str = "test",
    *,
    data: str | None = None,
    step_rescale: float = 1.0,
    data_root: str | Path | None = None,
) -> dict[str, float]:
    """Return the scores of a run's best model on a split: `SPLIT/loss`, and `SPLIT/accuracy` or `SPLIT/mse`.

    Args:
        run: The run, or its directory.
        split: `train`, `val` or `test`.
        data: Another data set with the same features and classes; None for the run's own.
        step_rescale: The sampling interval of `data` divided by that of the run's own data set.
        data_root: The folder of the raw files now; None for that of the run, as it was trained or loaded.

    Raises:
        UserError: If there is no such split, or the model cannot read the data.
    """
    if isinstance(run, StoredRun):
        path, data_root = run.path, data_root or run.config.data.root
    else:
        path = Path(run)
    return evaluate_run(path, split, data=data, step_rescale=step_rescale, data_root=data_root)


@final
class _CtrlC(StopRequest):
    """A stop request by Ctrl-C, which ends the training with a checkpoint. A second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None
        self._listens = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "_CtrlC":
        if self._listens:
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._listens:
            signal.signal(signal.SIGINT, self._before)

    @property
    def stopping(self) -> bool:
        return self._asked

    @property
    def reason(self) -> str:
        return "SIGINT" if self._asked else ""

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
