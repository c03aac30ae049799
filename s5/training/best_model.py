"""Reads the best model of a run: each checkpoint contains the model with the best validation score so far."""

from pathlib import Path

from s5.errors import UserError
from s5.training import checkpoints
from s5.training.checkpoints import Checkpoint


def read_best(run_dir: Path) -> Checkpoint:
    """Return the checkpoint that contains a run's best model so far.

    Args:
        run_dir: The run directory.

    Returns:
        The newest valid checkpoint. The names of the best model's arrays begin with `BEST`; `progress["best_step"]` is
        the step at which it was evaluated.

    Raises:
        UserError: If the run has no valid checkpoint, or no model was evaluated yet.
    """
    checkpoint = checkpoints.newest(run_dir)
    if checkpoint is None and checkpoints.exist(run_dir):
        raise UserError(
            f"{run_dir}: every checkpoint is damaged",
            hint="train the run again in another folder, or restore the checkpoint from a copy",
        )
    if checkpoint is None or checkpoint.progress["best_step"] is None:
        raise UserError(
            f"{run_dir}: no valid checkpoint with an evaluated model",
            hint="let the run train for at least one evaluation",
        )
    return checkpoint
