"""The state of the training loop on the host."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s5.errors import UserError

# What a run does not take from the checkpoint that it goes on from: it may be of another run, or of an older version.
OWN = ("task", "inputs", "files", "science_hash", "batch_size")


@dataclass(kw_only=True)
class Progress:
    """The state of the loop on the host; part of every checkpoint.

    Attributes:
        step: Steps done.
        evaluated_step: The last step with a written evaluation.
        best_step: The evaluated step with the best validation score; None before the first.
        best: The scores at `best_step`.
        data: The position of the iterator over the training batches.
        task: The fields of the data's `s5.training.task.Task`.
        init_from: The record of the parameters that the run started from; None if they were random.
        science_hash: The identity of the run; None in checkpoints of older versions.
        batch_size: Examples per step if `train.batch_size=auto` has found them, else None.
        inputs: The fields of the data's `s5.data.input_facts.InputFacts`; empty in checkpoints of older versions.
        files: The fingerprint of the raw files; None without raw files, and in checkpoints of older versions.
        extends: The record of the finished run that this run continues; None for a run from the start.
    """

    step: int = 0
    evaluated_step: int = 0
    best_step: int | None = None
    best: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    init_from: dict[str, Any] | None = None
    science_hash: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Any] | None = None
    extends: dict[str, Any] | None = None
    batch_size: int | None = None


def check_same_run(before: str | None, now: str, run_dir: Path) -> None:
    """Raise if a checkpoint is of a run with another identity: its config was edited after the training began.

    Args:
        before: The identity in the checkpoint; None if it has none.
        now: The identity of the run.
        run_dir: The run directory, for the message.
    """
    if before is not None and before != now:
        raise UserError(
            f"{run_dir}: its checkpoints are of a run with another config (science hash {before[:8]}; now {now[:8]})",
            hint="restore config.yaml; `python -m s5 extend RUN_DIR train.epochs=N` continues a finished run",
        )
