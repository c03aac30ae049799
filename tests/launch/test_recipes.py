"""`launch sweep sweeps/lra.yaml`: missing data are reported at once; with the archives, all six tasks train."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from s5.run_dir.result import read_result
from s5.training import checkpoints
from s5.training.stored_run import load_run
from tests.quickly import QUICKLY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TASKS = ("lra/listops", "lra/text", "lra/retrieval", "lra/image", "lra/pathfinder", "lra/pathx")
# Narrower and fewer, so that a test can wait for it; lengths, loaders, heads and groups are the recipes' own.
TINY = (
    *("resources.gpus_per_node=0", "resources.cpus_per_task=1", "resources.mem_gb=1", "train.epochs=2"),
    *("train.batch_size=2", "train.eval_batch_size=4", "model.n_layers=1", "model.d_model=4", "model.d_state=4"),
    "model.n_blocks=1",
)


class Shell:
    """A folder in which a user types commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "raw"
        (folder / "site").mkdir()
        shutil.copy(ROOT / "tests/s5/tiny_catalog.py", folder / "site" / "sitecustomize.py")

    def launch(self, *words: str) -> tuple[int, str, str]:
        own = {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self.folder / 'site'}",
            "S5_DATA": str(self.root),
            "S5_CACHE": str(self.folder / "cache"),
            "LAUNCH_RUNS": str(self.folder / "runs"),
            "LAUNCH_SLOTS": str(self.folder / "slots"),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": QUICKLY,
            "LAUNCH_PASS": "JAX_PLATFORMS,XLA_FLAGS",  # else they would not reach the runs
        }
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LAUNCH_", "S5_"))}
        ended = subprocess.run(
            [sys.executable, "-m", "launch.cli", *words],
            cwd=self.folder,
            env=clean | own,
            capture_output=True,
            text=True,
        )
        return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("lra"))


def test_a_dry_run_shows_all_six_tasks_and_all_that_is_missing(shell: Shell) -> None:
    changes = ("resources.gpus_per_node=99", "train.batch_size=2")
    code, out, err = shell.launch("sweep", str(ROOT / "sweeps/lra.yaml"), "--dry-run", *changes)
    assert code == 2
    rows = [line for line in out.splitlines() if line.startswith("lra-")]
    assert [row.split()[1] for row in rows] == list(TASKS)
    assert all("99 GPUs" in row and " min " in row and " GiB" in row for row in rows)
    assert "lra: 6 runs: 6 new" in out
    told = [part for part in err.split("error: ") if part.strip()]
    for part, name, file, folder in zip(
        told,
        ("listops", "imdb", "aan", "cifar10_grey", "pathfinder32", "pathfinder128"),
        (
            "basic_val.tsv",
            "test/neg/",
            "new_aan_pairs.eval.tsv",
            "data_batch_1.bin",
            *["curv_contour_length_14/imgs"] * 2,
        ),
        ("listops-1000", "aclImdb", "tsv_data", "cifar-10-batches-bin", "pathfinder32", "pathfinder128"),
        strict=False,
    ):
        assert f"data set {name}: its files are missing" in part and f"  {file}" in part
        assert f"  {shell.root / folder}\n" in part
        assert f"`launch data prepare {name} --from " in part
    assert len(told) == 7
    assert told[6].startswith("resources.gpus_per_node: 99 asked for")
    assert "Traceback" not in err and not (shell.folder / "runs").exists()


def test_with_archives_in_place_all_six_tasks_train_and_are_in_the_table(shell: Shell) -> None:
    pytest.importorskip("PIL.Image")
    from tests.s5.tiny_archives import write_lra

    write_lra(shell.root)
    code, out, err = shell.launch("sweep", str(ROOT / "sweeps/lra.yaml"), *TINY)
    assert code == 0, err
    header, *rows = out.splitlines()
    assert header.split() == ["experiment", "seeds", "test/accuracy", "%", "published", "difference"]
    assert [row.split()[0] for row in rows] == list(TASKS)
    assert [row.split()[-2] for row in rows] == ["62.15", "89.31", "91.40", "88.00", "95.33", "98.58"]
    for task in TASKS:
        (run_dir,) = (shell.folder / "runs/lra").glob(f"{task.replace('/', '-')}-*")
        result = read_result(run_dir)
        assert result is not None and result["steps"] >= 2
        assert set(result["metrics"]) == {"test/accuracy", "test/loss", "val/accuracy", "val/loss"}


def test_a_model_of_another_vocabulary_than_expected_can_be_loaded(shell: Shell) -> None:
    """The tiny papers have other characters than the catalog expects; the model was made for theirs."""
    (run_dir,) = (shell.folder / "runs/lra").glob("lra-retrieval-*")
    (header,) = (shell.folder / "cache").glob("aan-*/header.json")
    d_input = len(json.loads(header.read_text())["facts"]["vocabulary"]) + 3
    assert d_input < 98
    _, model = load_run(run_dir)
    assert model.encoder.weight.shape == (d_input, 4)
    assert model.kind.name == "retrieval"
    checkpoint = checkpoints.newest(run_dir)
    assert checkpoint is not None
    task = dict(checkpoint.progress["task"])
    assert task.pop("vocabulary").startswith("characters ")
    assert task == {"d_input": d_input, "n_classes": 2, "head": "retrieval", "class_names": []}
