"""The shortest possible training, and its results."""

import json
from pathlib import Path

from s5.training import checkpoints

# The quickstart's recipe, cut down to what shows every number that could differ.
TINY = {
    "model.n_layers": 1,
    "model.d_model": 8,
    "model.d_state": 8,
    "model.n_blocks": 1,
    "train.epochs": 40,
    "train.batch_size": 256,
    "train.eval_batch_size": 256,
    "train.checkpoint_every_steps": 20,
}


def works(run_dir: str) -> int:
    """Return the number of the newest attempt that has a checkpoint; -1 for none."""
    found = Path(run_dir).glob("attempts/*/checkpoints/*/checkpoint.json")
    return max((int(file.parents[2].name) for file in found), default=-1)


def job_of(view_dir: str, attempt: int) -> str:
    return json.loads(Path(view_dir, "attempts", str(attempt), "attempt.json").read_text())["job_id"]


def parameters(run_dir: Path) -> dict[str, bytes]:
    checkpoint = checkpoints.newest(run_dir)
    assert checkpoint is not None
    return {name: array.tobytes() for name, array in checkpoint.arrays.items()}
