"""A run on disk: its best model for a few lines of Python, and that model's scores.

from s5.training.stored_run import load_run
config, model = load_run("runs/quickstart/digits-s5-...")
logits = model(inputs, train=False)
"""

from dataclasses import asdict
from pathlib import Path

import jax
from flax import nnx

from s5.catalog import dataset_info
from s5.config.choices import Head
from s5.config.compat import compat_of
from s5.config.config_file import read_config
from s5.config.run import Config
from s5.data import load
from s5.data.batch import eval_batches
from s5.errors import UserError
from s5.models.sequence_model import SequenceModel, make_model
from s5.process.sharding import Devices
from s5.training import checkpoints
from s5.training.best_model import read_best
from s5.training.checkpoints import BEST_PARAMS, BEST_STATS
from s5.training.evaluate import evaluate, make_eval_step, valid_lengths
from s5.training.task import Task, check_same_task


def load_run(run_dir: str | Path) -> tuple[Config, SequenceModel]:
    """Load the best model of a run, to evaluate it or to train it further.

    Args:
        run_dir: A run directory; the run may still be training.

    Returns:
        Its config, and the model with the parameters that scored best on the validation split so far.

    Raises:
        UserError: If the directory has no config, or no valid checkpoint with an evaluated model.
    """
    config, model, _ = _load(Path(run_dir))
    return config, model


def _load(run_dir: Path) -> tuple[Config, SequenceModel, Task]:
    """Load a run's config, its best model, and the task of its data."""
    config = read_config(run_dir)
    checkpoint = read_best(run_dir)
    # Older checkpoints hold no task. They are also older than the data sets whose files may differ from the catalog.
    task = Task(**checkpoint.progress.get("task") or asdict(Task.of(dataset_info(config.data.name))))
    model = make_model(
        config.model,
        task.d_input,
        task.n_classes,
        nnx.Rngs(config.seed),
        head=Head[task.head],
        compat=compat_of(config.compat),
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
        data: Another data set with the same features and classes, such as the same recordings at another sampling
            rate; None for the run's own.
        step_rescale: As in `make_eval_step`.

    Raises:
        UserError: If the split is unknown, the model cannot read the data, or the run cannot be loaded.
    """
    config, model, task = _load(run_dir)
    if data is not None:
        config.data.name, config.data.version = data, dataset_info(data).version
    dataset = load(config.data, compat_of(config.compat))
    check_same_task(f"data.name={dataset.name}" if data is None else f"--data {data}", dataset, task)
    if split not in dataset.splits:
        raise UserError(f"--split {split}: no such split", hint=f"the splits are {', '.join(dataset.splits)}")
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    here = jax.local_device_count()
    devices = Devices(min(config.train.devices or here, here))  # a run trained on four devices can be scored on one
    step = make_eval_step(graphdef, valid_lengths(dataset), head=model.kind, devices=devices, step_rescale=step_rescale)
    batches = eval_batches(dataset.splits[split], devices.round_up(config.train.eval_batch_size))
    params, stats = devices.replicate((params, stats))
    scores = evaluate(step, params, stats, batches, head=model.kind, devices=devices)
    return {f"{split}/{name}": value for name, value in scores.items()}
