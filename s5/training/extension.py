"""Loads the last checkpoint of the run that another run extends for more epochs; see `s5.config.extension`."""

from dataclasses import replace
from pathlib import Path

from s5.config.extension import KEY, check_extension
from s5.config.identity import to_dict
from s5.config.run import Config
from s5.errors import UserError
from s5.training import checkpoints
from s5.training.checkpoints import Checkpoint


def load_extended(config: Config) -> Checkpoint:
    """Return the last checkpoint of the run `train.extend_from`.

    The key `extends` of its progress names the run and the step.

    Raises:
        UserError: If this run cannot extend that run, or that run has no valid checkpoint.
    """
    assert config.train.extend_from is not None
    check_extension(to_dict(config))
    run_dir = Path(config.train.extend_from)
    checkpoint = checkpoints.newest(run_dir)
    if checkpoint is None:
        raise UserError(
            f"{KEY}={run_dir}: it has no valid checkpoint any more",
            hint="train the run from the start with more epochs: leave out train.extend_from",
        )
    record = {"run_dir": str(run_dir), "science_hash": config.train.extend_hash, "step": checkpoint.step}
    return replace(checkpoint, progress={**checkpoint.progress, "extends": record})
