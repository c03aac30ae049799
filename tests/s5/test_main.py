"""`python -m s5` in its own process, which is really killed."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import s5.config.compose
import s5.config.search_path
import s5.training.loop
from s5.__main__ import main
from s5.config.compose import compose
from s5.config.config_file import config_text, read_config
from s5.config.identity import science_hash, to_dict
from s5.run_dir.result import (
    ATTEMPT_DIR_VARIABLE,
    SUPERVISOR_PIPE_VARIABLE,
    Exit,
    attempt_dirs,
    read_metrics,
    read_result,
)
from s5.training import checkpoints
from tests.s5.conftest import Program


def make_run(folder: Path, overrides: list[str]) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(config_text(compose(overrides)))
    return folder


def final_arrays(run_dir: Path) -> dict[str, bytes]:
    checkpoint = checkpoints.newest(run_dir)
    assert checkpoint is not None
    return {name: array.tobytes() for name, array in checkpoint.arrays.items()}


def test_a_run_killed_three_ways_is_the_run(program: Program, tiny: list[str], tmp_path: Path) -> None:
    overrides = [*tiny, "train.batch_size=256", "train.epochs=30", "train.checkpoint_every_steps=13"]
    whole, cut = make_run(tmp_path / "whole", overrides), make_run(tmp_path / "cut", overrides)
    assert program.run("train", whole)[0] == Exit.OK

    with program.start("train", cut) as process:
        program.until(process, 2)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == Exit.STOPPED, err
    assert "SIGTERM" in err

    with program.start("train", cut) as process:
        program.until(process, 8)
        process.kill()

    # The third as under a supervisor that dies.
    attempt = cut / "attempts" / "2"
    attempt.mkdir()
    reading, writing = os.pipe()
    with program.start(
        "train", cut, **{ATTEMPT_DIR_VARIABLE: str(attempt), SUPERVISOR_PIPE_VARIABLE: str(reading)}
    ) as process:
        os.close(reading)
        program.until(process, 14)
        os.close(writing)
        _, err = process.communicate()
    assert process.returncode == Exit.STOPPED, err
    assert "the supervisor is gone" in err

    assert read_result(cut) is None
    code, _, err = program.run("train", cut)
    assert code == Exit.OK, err
    assert "resuming after step" in err
    assert len(attempt_dirs(cut)) == 4
    assert read_metrics(cut) == read_metrics(whole)
    assert final_arrays(cut) == final_arrays(whole)
    assert read_result(cut) == read_result(whole)


def test_a_single_run_makes_its_own_folder_and_says_its_scores(
    finished_run: tuple[Path, str, str], tiny: list[str]
) -> None:
    run_dir, out, err = finished_run
    result = read_result(run_dir)
    assert result is not None
    assert run_dir.name.startswith("digits-s5-s0-")
    assert f"test/accuracy    {result['metrics']['test/accuracy']:.6g}" in out
    assert "epoch 2 " in err
    assert to_dict(read_config(run_dir))["model"] == to_dict(compose(tiny))["model"]
    assert os.stat(run_dir / "result.json").st_nlink == 2


def test_typed_again_a_finished_run_repeats_its_result(
    finished_run: tuple[Path, str, str], program: Program, tiny: list[str]
) -> None:
    run_dir, out, _ = finished_run
    code, again, err = program.run(*tiny, "--run-dir", run_dir)
    assert (code, again) == (Exit.OK, out)
    assert "already done" in err
    assert len(attempt_dirs(run_dir)) == 1


def test_a_folder_of_another_run_is_refused(
    finished_run: tuple[Path, str, str], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny, "seed=9", "--run-dir", str(finished_run[0])]) == Exit.USER_ERROR
    assert "another config" in capsys.readouterr().err


def trained_as(run_dir: Path, monkeypatch: pytest.MonkeyPatch, record: str) -> int:
    """Return the exit code of `train` on a run with this `run.json`, where training does nothing."""
    (run_dir / "run.json").write_text(record)
    monkeypatch.setattr(s5.training.loop, "train", lambda *_: None)
    monkeypatch.setenv(ATTEMPT_DIR_VARIABLE, str(run_dir))
    return main(["train", str(run_dir)])


def test_a_config_edited_by_hand_is_not_trained_under_its_runs_name(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = make_run(tmp_path / "run", tiny)
    planned = science_hash(to_dict(read_config(run_dir)))
    record = json.dumps({"science_hash": planned, "command": None})
    assert trained_as(run_dir, monkeypatch, record) == Exit.OK
    config = run_dir / "config.yaml"
    config.write_text(config.read_text().replace("prefetch: 2", "prefetch: 3"))  # no science
    assert trained_as(run_dir, monkeypatch, record) == Exit.OK
    config.write_text(config.read_text().replace("dropout: 0.1", "dropout: 0.2"))
    assert trained_as(run_dir, monkeypatch, record) == Exit.USER_ERROR
    err = capsys.readouterr().err
    assert planned in err
    assert science_hash(to_dict(read_config(run_dir))) in err
    assert "hint: type the sweep's command again: it writes config.yaml again" in err
    assert trained_as(run_dir, monkeypatch, json.dumps({"science_hash": planned, "command": ["echo"]})) == Exit.OK
    assert trained_as(run_dir, monkeypatch, "{") == Exit.USER_ERROR
    assert "run.json: cannot be read" in capsys.readouterr().err


def test_a_run_that_is_being_trained_is_refused(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from s5.run_dir.attempts import claim_attempt

    run_dir = make_run(tmp_path / "run", tiny)
    with claim_attempt(run_dir):
        assert main(["train", str(run_dir)]) == Exit.USER_ERROR
    assert "still running" in capsys.readouterr().err
    with claim_attempt(run_dir) as attempt_dir:
        assert attempt_dir.name == "1"


def test_help_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == Exit.OK
    said = capsys.readouterr().out
    for words in ("experiment=NAME", "train RUN_DIR", "evaluate RUN_DIR", "exit codes"):
        assert words in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment=digits/s6"], "did you mean digits/s5?"),
        (["experiment=digits/s5", "model.n_layer=1"], "did you mean model.n_layers?"),
        (["experiment=digits/s5", "+foo=1"], "foo: unknown key"),
        (["experiment=digits/s5", "~model.norm"], "model.norm: this key cannot be deleted"),
        (["experiment=digits/s5", "~model"], "model: this key cannot be deleted"),
        (["experiment=digits/s5", "data.name=${nothere}"], "data.name: Interpolation key 'nothere' not found"),
        (["evaluat", "x"], "did you mean evaluate?"),
        (["train", "no such folder"], "no such file"),
        (["evaluate", "no such folder"], "no such file"),
    ],
    ids=["recipe", "key", "added", "deleted", "section deleted", "interpolation", "verb", "train", "evaluate"],
)
def test_a_mistake_is_a_message_and_a_hint(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == Exit.USER_ERROR
    err = capsys.readouterr().err
    assert said in err
    assert "hint:" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("n_layers: [2", "line 8, column 8: expected ',' or ']'"),
        ("n_layer: 2", "model.n_layer: unknown key; did you mean model.n_layers?"),
        ("n_layers: two", "model.n_layers: 'two' is not a whole number"),
    ],
    ids=["no YAML", "key", "value"],
)
def test_a_mistake_in_a_recipe_names_the_recipe(
    new: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = shutil.copytree(s5.config.search_path.CONF_DIR, tmp_path / "conf")
    recipe = conf / "model" / "s5-digits.yaml"
    recipe.write_text(recipe.read_text().replace("n_layers: 2", new))
    monkeypatch.setattr(s5.config.search_path, "CONF_DIR", conf)
    assert main(["experiment=digits/s5"]) == Exit.USER_ERROR
    assert f"s5: {recipe}: {said}" in capsys.readouterr().err


def test_a_batch_larger_than_the_training_split_is_refused(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    words = [*tiny, "train.batch_size=100000", "--run-dir", str(tmp_path / "run")]
    assert main(words) == Exit.USER_ERROR
    err = capsys.readouterr().err
    assert "train.batch_size=100000" in err
    assert "hint: choose 1 to 1257" in err


def test_missing_data_are_named(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S5_CACHE", str(tmp_path))
    words = [*tiny, "data.name=mnist", f"data.root={tmp_path}", "--run-dir", "run"]
    assert main(words) == Exit.USER_ERROR
    err = capsys.readouterr().err
    assert "train-images-idx3-ubyte" in err
    assert "sha256" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [[], ["--run-dir", "file"], ["--run-dir", "file/run"]])
def test_a_file_where_the_runs_must_be_is_a_message(
    words: list[str],
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAUNCH_RUNS", "file")
    assert main([*tiny, *words]) == Exit.USER_ERROR
    err = capsys.readouterr().err
    assert "is a file, but must be a folder" in err
    assert "hint:" in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), Exit.OUT_OF_MEMORY, "out of memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), Exit.OUT_OF_MEMORY, "batch_size"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), Exit.USER_ERROR, "No space left"),
        (ValueError("RESOURCE_EXHAUSTED: write: No space left on device"), Exit.USER_ERROR, "no space left"),
        (OSError(errno.EROFS, "Read-only file system", "runs/x"), Exit.USER_ERROR, "Read-only"),
        (s5.training.loop.NonFiniteLoss("the loss is not finite from step 7 on"), Exit.NAN, "step 7"),
        (s5.training.loop.Stopped(), Exit.STOPPED, ""),
        (ModuleNotFoundError("No module named 'flax.nnx'", name="flax.nnx"), Exit.USER_ERROR, "pip install"),
    ],
    ids=["host", "device", "disk", "disk in orbax", "read-only", "nan", "stopped", "package"],
)
def test_an_end_has_its_exit_code(
    error: Exception,
    code: Exit,
    said: str,
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(s5.training.loop, "train", _raising(error))
    assert main([*tiny, "--run-dir", str(tmp_path / "run")]) == code
    assert said in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s5.training.loop, "train", _raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main([*tiny, "--run-dir", str(tmp_path / "run")])


def _raising(error: Exception) -> Callable[..., None]:
    def train(*_: object) -> None:
        raise error

    return train


def test_a_hostile_path_is_a_path(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    run_dir = tmp_path / "a b'c\"d\nΛ=[1]\\*"
    assert main([*tiny, "train.epochs=1", "--run-dir", str(run_dir)]) == Exit.OK
    capsys.readouterr()
    assert main(["evaluate", str(run_dir), "--split", "val", "--json"]) == Exit.OK
    result = read_result(run_dir)
    assert result is not None
    assert json.loads(capsys.readouterr().out) == {
        name: result["metrics"][name] for name in ("val/accuracy", "val/loss")
    }


def test_a_run_on_a_file_system_without_hard_links(program: Program, tiny: list[str], exfat: Path) -> None:
    run_dir = make_run(exfat / "run", [*tiny, "train.epochs=1"])
    code, out, err = program.run("train", run_dir)
    assert code == Exit.OK, err
    assert "test/accuracy" in out
    assert program.run("train", run_dir)[0] == Exit.OK
    assert [folder.name for folder in attempt_dirs(run_dir)] == ["0"]
    assert read_result(run_dir) is not None


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["seed=0,1"], "seed: 0,1 are several values, and a run takes one", "in FILE `seeds: [0,1]`"),
        (["optim.lr=1e-3,1e-2"], "optim.lr: 1e-3,1e-2 are several values", "a list is optim.lr=[1e-3,1e-2]"),
        (["-m"], "-m: this command trains one run", "launch sweep FILE"),
        (["seed=1", "--cfg", "job"], "--cfg: this command trains a run", "`launch show EXPERIMENT key=value"),
        (["--cfg=job"], "--cfg: this command trains a run", "prints the whole configuration"),
        (["seed=1", "--multirun"], "--multirun: this command trains one run", "launch sweep FILE"),
    ],
)
def test_several_values_are_a_sweep(
    words: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiment=digits/s5", *words]) == Exit.USER_ERROR
    said = capsys.readouterr().err
    assert message in said and hint in said and "add --multirun" not in said
