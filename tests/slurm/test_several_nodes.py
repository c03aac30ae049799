"""A run of two processes on two nodes has the losses of a single process with the same batches, also if requeued."""

import json
import os
from pathlib import Path

import pytest

from launch.specs.container import PASS_VARIABLE
from launch.store.state import State
from s5.run_dir.result import read_metrics
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.quickly import QUICKLY
from tests.slurm.project import Project
from tests.slurm.trained import TINY, job_of, works

# Sums over a batch are taken in another order where its halves lie on two nodes.
_RELATIVE = 1e-3
# Enough for a first checkpoint, and for an interruption before the last step.
_EPOCHS = 16


def losses(run_dir: str) -> dict[int, float]:
    lines = read_metrics(Path(run_dir))
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def test_two_nodes_train_as_one_process_and_survive_a_requeue_together(
    project: Project, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", QUICKLY)  # sbatch passes it on
    monkeypatch.setenv(PASS_VARIABLE, "XLA_FLAGS")
    sweep = {"name": "pair", "experiment": "digits/s5", "base": {**TINY, "model.dropout": 0.0, "train.epochs": _EPOCHS}}
    (project.folder / "alone.yaml").write_text(json.dumps(sweep))
    (project.folder / "pair.yaml").write_text(json.dumps({**sweep, "resources": {"nodes": 2, "timeout_min": 30}}))
    project.launch("sweep", "pair.yaml", "--on", "test")
    (view,) = project.views("pair")
    assert wait_until(lambda: works(view.run_dir) == 0, 120), project.views("pair")
    slurm.call("scancel", "--batch", "--signal=USR2", job_of(view.run_dir, 0))
    project.launch("sweep", "alone.yaml", "--runs", "alone")
    project.until(State.SUCCEEDED, sweep="pair")
    assert project.reasons(view.run_dir)[-1] == "success" and len(project.reasons(view.run_dir)) == 2
    nodes = [json.loads(file.read_text())["node"] for file in Path(view.run_dir).glob("attempts/*/attempt.json")]
    assert all(nodes)
    alone = losses(str(Path("alone", "pair", os.path.basename(view.run_dir))))
    together = losses(view.run_dir)
    assert together.keys() == alone.keys() and len(alone) > 5
    assert [together[step] for step in alone] == pytest.approx(list(alone.values()), rel=_RELATIVE)
