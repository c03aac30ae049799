"""`python -m s5 extend`: a finished run is continued for more epochs, as another run that records it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from s5.config.compose import compose
from s5.config.config_file import read_config
from s5.config.extension import extend_config
from s5.config.identity import science_hash, to_dict
from s5.errors import UserError
from s5.run_dir.result import Exit, read_metrics, read_result
from s5.training import checkpoints
from tests.s5.conftest import Program
from tests.s5.test_main import make_run


def steps(run_dir: Path) -> list[int]:
    return [line["step"] for line in read_metrics(run_dir)]


def test_a_run_that_is_extended_is_the_longer_run(program: Program, tiny: list[str], tmp_path: Path) -> None:
    """With a constant rate the extended run computes bit for bit what a long run does."""
    words = [*tiny, "optim.schedule=constant", "train.batch_size=256"]
    short = make_run(tmp_path / "short", [*words, "train.epochs=3"])
    whole = make_run(tmp_path / "whole", [*words, "train.epochs=5"])
    for run_dir in (short, whole):
        code, _, err = program.run("train", run_dir)
        assert code == Exit.OK, err
    before = {path: path.read_bytes() for path in short.rglob("*") if path.is_file()}
    longer = tmp_path / "longer"
    code, _, err = program.run("extend", short, "train.epochs=5", "--run-dir", longer)
    assert code == Exit.OK, err
    last = steps(short)[-1]
    assert f"s5: extending {short} after step {last}" in err
    assert [line for line in read_metrics(whole) if line["step"] > last] == read_metrics(longer)
    final, wanted = checkpoints.newest(longer), checkpoints.newest(whole)
    assert final is not None and wanted is not None
    for name, array in wanted.arrays.items():
        np.testing.assert_array_equal(final.arrays[name], array, err_msg=name)
    result = read_result(longer)
    assert result is not None and result["metrics"] == (read_result(whole) or {})["metrics"]
    source = science_hash(to_dict(read_config(short)))
    assert result["extends"] == {"run_dir": str(short), "science_hash": source, "step": last}
    config = read_config(longer)
    assert (config.train.epochs, config.train.extend_hash) == (5, source)
    hashes = {science_hash(to_dict(read_config(run_dir))) for run_dir in (short, whole, longer)}
    assert len(hashes) == 3  # it is recorded as what it is
    assert before == {path: path.read_bytes() for path in short.rglob("*") if path.is_file()}
    code, _, err = program.run("extend", short, "train.epochs=5", "--run-dir", longer)
    assert code == Exit.OK and "already done" in err


@pytest.fixture
def finished(finished_run: tuple[Path, str, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run[0], tmp_path / "finished"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.epochs=2"], "train.epochs=2: .* has trained for 2 epochs"),
        (["optim.lr=1e-3"], "train.epochs=2: .* has trained for 2 epochs"),
        (["train.epochs=4", "train.batch_size=32"], "train.batch_size is 64 in that run and 32 in this one"),
        (["train.epochs=4", "model.d_model=16"], "model.d_model is 8 in that run and 16 in this one"),
        (["train.epochs=4", "train.epoch=5"], "train.epoch=5: not a key of the run and a value; did you mean train.e"),
        (["train.epochs=many"], "train.epochs=many"),
        (["4"], "4: not a key of the run and a value"),
    ],
)
def test_what_cannot_be_extended_is_refused(finished: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        extend_config(finished, words)


def test_a_run_that_has_not_finished_or_was_replaced_is_refused(finished: Path) -> None:
    config = extend_config(finished, ["train.epochs=4", "wandb.mode=disabled"])
    assert config.wandb.mode.name == "disabled"
    text = (finished / "config.yaml").read_text()
    (finished / "config.yaml").write_text(text.replace("epochs: 2\n", "epochs: 3\n"))
    words = [f"train.extend_from={finished}", f"train.extend_hash={config.train.extend_hash}", "train.epochs=4"]
    with pytest.raises(UserError, match="its run has the science hash"):
        compose(["experiment=digits/s5", *words])
    (finished / "config.yaml").write_text(text)
    (finished / "result.json").unlink()
    with pytest.raises(UserError, match=r"train.extend_from=.*has no result.json"):
        extend_config(finished, ["train.epochs=4"])


def test_a_run_without_checkpoints_or_that_stopped_early_is_told(program: Program, finished: Path) -> None:
    for folder in finished.glob("attempts/*/checkpoints"):
        shutil.rmtree(folder)
    code, _, err = program.run("extend", finished, "train.epochs=4", "wandb.mode=disabled", "--run-dir", "longer")
    assert code == Exit.USER_ERROR and "it has no valid checkpoint any more" in err


def test_in_a_sweep_the_extended_run_is_part_of_the_identity(tiny: list[str], finished: Path) -> None:
    from launch.compose.composer import Composer
    from launch.errors import LaunchError
    from launch.sweepfile.sweep import single_run

    words = [word for word in tiny if not word.startswith("experiment=")]
    longer = [*words, "train.epochs=4", f"train.extend_from={finished}"]
    (run,) = Composer().plan_all(single_run("digits/s5", longer).runs)
    assert run.record.science_hash == science_hash(to_dict(extend_config(finished, ["train.epochs=4"])))
    assert json.loads(json.dumps(run.config))["train"]["extend_from"] == str(finished)
    with pytest.raises(LaunchError, match=r"model.d_model is 8 in that run and 32 in this one"):
        Composer().plan_all(single_run("digits/s5", [*longer, "model.d_model=32"]).runs)


def test_a_checkpoint_of_another_config_is_refused(program: Program, finished: Path) -> None:
    config = finished / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("epochs: 2\n", "epochs: 3\n"))
    (finished / "result.json").unlink()
    code, _, err = program.run("train", finished, WANDB_MODE="disabled")
    assert code == Exit.USER_ERROR and "its checkpoints are of a run with another config" in err
    assert "python -m s5 extend" in err and not (finished / "result.json").exists()
