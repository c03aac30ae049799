import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from s5.config.config_file import config_text, read_config
from s5.config.data import DataConfig
from s5.data import load
from s5.data.batch import eval_batches
from s5.errors import Stopped, UserError
from s5.run_dir.result import read_result
from s5.training import checkpoints
from s5.training.evaluate import evaluate, valid_lengths
from s5.training.metrics import MetricSums
from s5.training.stored_run import evaluate_run, load_run
from s5.training.task import Task, check_same_task


@pytest.mark.parametrize(("split", "devices"), [("test", None), ("val", 64)])
def test_a_finished_run_scores_what_its_result_says(
    finished_run: tuple[Path, str, str], tmp_path: Path, split: str, devices: int | None
) -> None:
    run_dir = finished_run[0]
    if devices is not None:  # more than there are here: they trained it
        run_dir = shutil.copytree(run_dir, tmp_path / "run")
        config = read_config(run_dir)
        config.train.devices = devices
        (run_dir / "config.yaml").write_text(config_text(config))
    result = read_result(run_dir)
    assert result is not None
    scores = evaluate_run(run_dir, split)
    assert set(scores) == {f"{split}/loss", f"{split}/accuracy"}
    # Not bit for bit: the run had one thread, this process may have more.
    for name, value in scores.items():
        assert value == pytest.approx(result["metrics"][name], rel=1e-4)


def test_a_loaded_run_is_a_model_to_call(finished_run: tuple[Path, str, str]) -> None:
    run = load_run(str(finished_run[0]))
    batch = next(eval_batches(load(run.config.data).splits["val"], 5))
    assert run.model(jnp.asarray(batch.inputs), train=False).shape == (5, 10)


def test_an_unknown_split_is_refused(finished_run: tuple[Path, str, str]) -> None:
    with pytest.raises(UserError, match="--split dev"):
        evaluate_run(finished_run[0], "dev")


def test_a_run_without_a_checkpoint_is_refused(finished_run: tuple[Path, str, str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config_text(load_run(finished_run[0]).config))
    with pytest.raises(UserError, match="no valid checkpoint"):
        load_run(tmp_path)


def test_a_finished_run_whose_only_checkpoint_is_damaged_is_told_so(
    finished_run: tuple[Path, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished_run[0], run_dir)
    for meta in run_dir.glob("attempts/*/checkpoints/*/checkpoint.json"):
        meta.write_text("{")
    with pytest.raises(UserError, match="every checkpoint is damaged") as caught:
        load_run(run_dir)
    assert "at least one evaluation" not in (caught.value.hint or "")
    said = capsys.readouterr().err.splitlines()
    assert [line.endswith("; there is no earlier one") for line in said] == [False] * (len(said) - 1) + [True]


def test_an_evaluation_stops_between_batches() -> None:
    asked = iter([False, True])

    def step(params: Any, stats: Any, sums: MetricSums, batch: object) -> MetricSums:
        return sums

    with pytest.raises(Stopped):
        evaluate(step, {}, {}, iter([None, None, None]), lambda: next(asked))


def test_lengths_are_passed_only_where_something_is_padded(finished_run: tuple[Path, str, str]) -> None:
    dataset = load(load_run(finished_run[0]).config.data)
    batch = next(eval_batches(dataset.splits["val"], 2))
    assert valid_lengths(dataset)(batch) is None
    val = dataset.splits["val"]
    shorter = dataclasses.replace(val, lengths=val.lengths - np.int32(1))
    padded = dataclasses.replace(dataset, splits={**dataset.splits, "val": shorter})
    assert valid_lengths(padded)(batch) is batch.lengths


def test_a_checkpoint_that_does_not_say_what_its_model_was_made_for_is_read_by_the_catalog(
    finished_run: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = checkpoints.newest(finished_run[0])
    assert checkpoint is not None
    task = {"d_input": 1, "n_classes": 10, "head": "classification", "vocabulary": "", "class_names": []}
    assert checkpoint.progress.pop("task") == task
    monkeypatch.setattr(checkpoints, "newest", lambda _: checkpoint)
    assert load_run(finished_run[0]).model.encoder.weight.shape == (1, 8)


def test_data_of_another_kind_are_refused() -> None:
    digits = load(DataConfig(name="digits"))
    check_same_task("--data digits", digits, Task(d_input=1, n_classes=10, head="classification"))
    with pytest.raises(
        UserError, match=r"--data digits: digits is a classification of steps of 1 with 10 classes, .* of 3 with"
    ):
        check_same_task("--data digits", digits, Task(d_input=3, n_classes=10, head="classification"))


def test_tokens_that_stand_for_other_symbols_are_refused() -> None:
    mails = dataclasses.replace(load(DataConfig(name="digits")), name="mails", d_input=256, vocabulary="bytes")
    reviews = Task(d_input=256, n_classes=10, head="classification", vocabulary="bytes plus 1")
    with pytest.raises(UserError, match=r"the tokens of mails are bytes, but those .* were bytes plus 1"):
        check_same_task("--data mails", mails, reviews)
    check_same_task("--data mails", mails, dataclasses.replace(reviews, vocabulary="bytes"))
    check_same_task("--data mails", mails, dataclasses.replace(reviews, vocabulary=None))  # an older checkpoint
    features = dataclasses.replace(reviews, vocabulary="")
    with pytest.raises(UserError, match=r"the tokens of mails are bytes, but those .* were features"):
        check_same_task("--data mails", mails, features)
