"""Starting a run from the parameters of another run."""

import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from s5.config.compose import compose
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.data import load
from s5.errors import Stopped, UserError
from s5.process.sharding import Devices
from s5.run_dir.result import publish, read_metrics, read_result
from s5.training import checkpoints, loop
from s5.training.best_model import read_best
from s5.training.checkpoints import BEST
from s5.training.initial_parameters import load_initial
from s5.training.task import Task
from s5.training.trainer import Trainer
from tests.s5.stop_requests import StopsAt

pytestmark = pytest.mark.slow


@pytest.fixture
def source(finished_run: tuple[Path, str, str]) -> Path:
    return finished_run[0]


def best_arrays(run_dir: Path) -> dict[str, np.ndarray]:
    return {name: array for name, array in read_best(run_dir).arrays.items() if name.startswith(BEST)}


def trainer_of(config: Config) -> Trainer:
    return Trainer(config, load(config.data), Devices(1))


def attempt(config: Config, run_dir: Path, stops_at: int = 0) -> dict[str, float] | None:
    folder = run_dir / "attempts" / str(len(list(run_dir.glob("attempts/*"))))
    folder.mkdir(parents=True)
    try:
        metrics = loop.train(config, run_dir, folder, StopsAt(stops_at))
    except Stopped:
        return None
    publish(folder)
    return metrics


@pytest.mark.parametrize(
    "overrides", [["seed=5"], ["model.precision=bfloat16", "compat=upstream"]], ids=["seed", "precision and compat"]
)
def test_a_run_starts_from_the_best_parameters_and_nothing_else(
    source: Path, tiny: list[str], tmp_path: Path, overrides: list[str]
) -> None:
    fresh = trainer_of(compose([*tiny, *overrides]))
    config = compose([*tiny, *overrides, f"train.init_from={source}"])
    trainer = trainer_of(config)
    record = trainer.load_initial(tmp_path)
    expected = best_arrays(source)
    loaded = trainer.model_arrays()
    assert loaded.keys() == expected.keys()
    for name, array in loaded.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert record == {
        "run_dir": str(source),
        "science_hash": science_hash(to_dict(compose(tiny))),
        "step": read_best(source).progress["best_step"],
        "parameters_sha256": checkpoints.digest(expected, {}),
        "skipped": [],
    }
    before, after = fresh.arrays(), trainer.arrays()
    for name in before:
        if not name.startswith(("state.params", "state.stats")):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    jax.block_until_ready(trainer.state)


def test_parameters_that_do_not_fit_are_told_and_can_be_skipped(source: Path, tiny: list[str], tmp_path: Path) -> None:
    wide = [*tiny, "model.bidirectional=true", f"train.init_from={source}"]
    with pytest.raises(UserError, match=r"parameters of .* do not fit this model:") as caught:
        trainer_of(compose(wide)).load_initial(tmp_path)
    lines = caught.value.message.splitlines()[1:]
    shapes = "float32[1, 8, 4] in that run, float32[1, 8, 8] in this model"
    assert lines == [f"  layers.layer.ssm.C_{part}: {shapes}" for part in ("im", "re")]
    names = "layers.layer.ssm.C_im,layers.layer.ssm.C_re"
    assert caught.value.hint == f"to start them fresh, set train.init_skip=[{names}]"

    config = compose([*wide, "train.init_skip=[layers.layer.ssm.C_*]"])
    fresh, trainer = trainer_of(config).model_arrays(), trainer_of(config)
    record = trainer.load_initial(tmp_path)
    assert record["skipped"] == ["layers.layer.ssm.C_im", "layers.layer.ssm.C_re"]
    expected = best_arrays(source)
    for name, array in trainer.model_arrays().items():
        np.testing.assert_array_equal(array, (fresh if "'C_" in name else expected)[name])


def test_missing_and_further_parameters_do_not_fit(source: Path, tiny: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        trainer_of(compose([*tiny, "model.activation=gelu", f"train.init_from={source}"])).load_initial(tmp_path)
    assert "  layers.layer.gate.gate.weight: this model has no such parameter" in caught.value.message


def test_a_pattern_that_matches_nothing_is_a_mistake(source: Path, tiny: list[str], tmp_path: Path) -> None:
    config = compose([*tiny, f"train.init_from={source}", "train.init_skip=[haed*]"])
    with pytest.raises(UserError, match=r"train\.init_skip=haed\*: matches no parameter") as caught:
        trainer_of(config).load_initial(tmp_path)
    assert "head.decoder.bias" in (caught.value.hint or "")


def test_an_encoder_of_other_tokens_does_not_fit(source: Path, tiny: list[str], tmp_path: Path) -> None:
    config = compose([*tiny, f"train.init_from={source}"])
    trainer = trainer_of(config)
    task = dataclasses.replace(Task.of(load(config.data)), vocabulary="bytes")
    state = trainer.state
    with pytest.raises(UserError, match=r"encoder\.weight: .* features in that run, and are bytes in this one"):
        load_initial(config.train, state.params, state.stats, task, tmp_path)
    config.train.init_skip = ["encoder*"]
    _, _, record = load_initial(config.train, state.params, state.stats, task, tmp_path)
    assert record["skipped"] == ["encoder.bias", "encoder.weight"]


def test_interruptions_change_no_bit_and_a_resumed_attempt_does_not_load_again(
    source: Path, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(source, tmp_path / "source")
    words = [*tiny, f"train.init_from={place}", "seed=1", "train.checkpoint_every_steps=15"]
    config = compose(words)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    metrics = attempt(config, whole)
    assert f"s5: starting from {place} (science hash " in capsys.readouterr().err
    assert attempt(config, cut, 1) is None  # before the first checkpoint: the next attempt loads
    assert attempt(config, cut, 9) is None
    shutil.rmtree(place)
    capsys.readouterr()
    assert attempt(config, cut) == metrics
    assert "starting from" not in capsys.readouterr().err
    assert read_metrics(cut) == read_metrics(whole)
    assert read_result(cut) == read_result(whole)
    result = read_result(cut)
    assert result is not None
    assert result["init_from"]["run_dir"] == str(place)
    one, other = checkpoints.newest(cut), checkpoints.newest(whole)
    assert one is not None and other is not None
    assert {k: v.tobytes() for k, v in one.arrays.items()} == {k: v.tobytes() for k, v in other.arrays.items()}


def test_a_run_without_it_records_nothing(source: Path) -> None:
    result = read_result(source)
    assert result is not None
    assert "init_from" not in result
