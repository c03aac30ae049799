"""The training loop in this process, stopped at every point where it can stop."""

import dataclasses
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.catalog import DataError
from s5.config.choices import Platform
from s5.config.compat import OURS, UPSTREAM
from s5.config.compose import compose
from s5.config.config_file import config_text
from s5.config.data import DataConfig
from s5.config.run import Config
from s5.data import batch as train_data
from s5.errors import NonFiniteLoss, Stopped, UserError
from s5.process import device
from s5.run_dir.result import METRICS, TIMING, read_lines, read_metrics
from s5.training import checkpoints, loop
from s5.training.scores import rank
from s5.training.step import MetricWindow
from s5.training.stored_run import evaluate_run
from tests.s5.stop_requests import StopsAt

pytestmark = pytest.mark.slow


def attempt(config: Config, run_dir: Path, stops_at: int = 0) -> dict[str, float] | None:
    """Execute the run's next attempt; return its metrics, or None if it was stopped."""
    folder = run_dir / "attempts" / str(len(list(run_dir.glob("attempts/*"))))
    folder.mkdir(parents=True)
    try:
        return loop.train(config, run_dir, folder, StopsAt(stops_at))
    except Stopped:
        return None


@pytest.fixture(scope="module")
def config(tiny: list[str]) -> Config:
    return compose([*tiny, "train.eval_batch_size=100", "train.checkpoint_every_steps=15"])


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A run without interruption."""
    run_dir = tmp_path_factory.mktemp("whole")
    metrics = attempt(config, run_dir)
    assert metrics is not None
    return run_dir, metrics


def final_arrays(run_dir: Path) -> dict[str, bytes]:
    checkpoint = checkpoints.newest(run_dir)
    assert checkpoint is not None
    return {name: array.tobytes() for name, array in checkpoint.arrays.items()}


# How often a run looks: once before the first step and once after each of 38; an evaluation of 3 batches, after
# steps 19 and 38, looks 3 times. A resumed one starts again with one look.
@pytest.mark.parametrize(
    "stops",
    [
        (3, 6, 15),  # after steps 2, 7 and 21: in the middle of log intervals, before and after a checkpoint
        (22, 2, 28),  # in the evaluation of step 19; in the repeated one; in the test at the end
    ],
    ids=["steps", "evaluations"],
)
def test_three_interruptions_change_no_bit(
    config: Config, whole: tuple[Path, dict[str, float]], tmp_path: Path, stops: tuple[int, ...]
) -> None:
    for stop in stops:
        assert attempt(config, tmp_path, stop) is None
    assert attempt(config, tmp_path) == whole[1]
    assert read_metrics(tmp_path) == read_metrics(whole[0])
    assert final_arrays(tmp_path) == final_arrays(whole[0])


def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    config: Config, whole: tuple[Path, dict[str, float]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attempt(config, tmp_path, 34) is None
    folder = tmp_path / "attempts" / "0" / "checkpoints"
    steps = sorted(int(path.name) for path in folder.iterdir())
    assert len(steps) == 2
    (folder / str(steps[1]) / "checkpoint.json").write_text("{")
    capsys.readouterr()
    assert attempt(config, tmp_path) == whole[1]
    said = capsys.readouterr().err
    assert "damaged" in said
    assert f"resuming after step {steps[0]}" in said
    assert read_metrics(tmp_path) == read_metrics(whole[0])
    assert final_arrays(tmp_path) == final_arrays(whole[0])


def test_metrics_hold_no_time_and_timing_does(config: Config, whole: tuple[Path, dict[str, float]]) -> None:
    metrics = read_lines(whole[0] / "attempts" / "0" / METRICS)
    timing = read_lines(whole[0] / "attempts" / "0" / TIMING)
    assert {key for line in metrics for key in line} == {
        "step",
        "train/loss",
        "train/accuracy",
        "lr",
        "val/loss",
        "val/accuracy",
    }
    assert [line["step"] for line in metrics if "lr" in line] == [*range(4, 37, 4)]
    assert metrics[0]["lr"] == pytest.approx(config.optim.lr * 3 / 19)  # of the fourth update; the first one's is 0
    assert [line["step"] for line in metrics if "val/loss" in line] == [19, 38]
    assert timing[0]["step"] == 0
    assert {"step", "of", "epoch", "time", "steps_per_s"} == set(timing[-1])
    assert (timing[-1]["step"], timing[-1]["of"]) == (38, 38)


def test_the_result_says_what_was_measured(whole: tuple[Path, dict[str, float]]) -> None:
    (result,) = read_lines(whole[0] / "attempts" / "0" / "result.json")
    assert set(result["metrics"]) == {"test/accuracy", "test/loss", "val/accuracy", "val/loss"}
    assert all(0 <= result["metrics"][f"{split}/accuracy"] <= 1 for split in ("test", "val"))
    assert result["steps"] == 38
    assert result["best_step"] in (19, 38)
    assert result["parameters"] == 342
    assert result["environment"]["threads"] == device.threads()


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_step(tiny: list[str], tmp_path: Path) -> None:
    config = compose([*tiny, "optim.lr=1e30", "optim.warmup_epochs=0", "train.checkpoint_every_steps=4"])
    with pytest.raises(NonFiniteLoss, match=r"not finite from step [23] on"):
        attempt(config, tmp_path)
    assert checkpoints.newest(tmp_path) is None


def test_a_number_that_is_none_in_a_batch_reaches_no_checkpoint(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose([*tiny, "train.batch_size=256", "train.epochs=4", "train.checkpoint_every_steps=3"])
    config.train.log_every_steps = 100
    taken = iter(range(10**6))
    gather = train_data.gather

    def poisoned(split: object, examples: np.ndarray) -> object:
        batch = gather(split, examples)
        if len(examples) == 256 and next(taken) == 7:  # of step 8, which ends the second epoch: it is validated then
            batch.inputs[3, 5] = np.nan
        return batch

    monkeypatch.setattr(train_data, "gather", poisoned)
    with pytest.raises(NonFiniteLoss, match="not finite from step 8 on"):
        attempt(config, tmp_path)
    checkpoint = checkpoints.newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 6
    assert checkpoint.progress["best_step"] == 4
    assert all(np.isfinite(array).all() for array in checkpoint.arrays.values())
    assert [line["step"] for line in read_metrics(tmp_path) if "val/loss" in line] == [4]


def test_plateaus_and_patience_survive_interruptions(tiny: list[str], tmp_path: Path) -> None:
    # At this rate nothing is learnt: the rates fall after every epoch from the second on, until patience ends.
    words = ["optim.lr=1e-30", "optim.ssm_lr=1e-30", "optim.schedule=plateau", "optim.lr_patience_epochs=1",
             "optim.warmup_epochs=0", "train.epochs=9", "train.early_stop_epochs=3", "train.batch_size=256",
             "train.eval_batch_size=300", "model.norm=layer"]  # fmt: skip
    config = compose([*tiny, *words])
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert attempt(config, whole) is not None
    # In the middle of the third epoch, then in the validation that would have let the rates fall.
    for look in (13, 3):
        assert attempt(config, cut, look) is None
    assert attempt(config, cut) is not None
    assert read_metrics(cut) == read_metrics(whole)
    assert final_arrays(cut) == final_arrays(whole)
    rates = [line["lr"] for line in read_metrics(whole) if "lr" in line]
    np.testing.assert_allclose(rates, [1e-30, 1e-30, 5e-31, 2.5e-31], rtol=1e-5)
    (result,) = read_lines(whole / "attempts" / "0" / "result.json")
    assert (result["best_step"], result["steps"]) == (4, 16)


def test_training_ends_early_where_validation_no_longer_gains(tiny: list[str], tmp_path: Path) -> None:
    # At this rate nothing is learnt: the first evaluation stays the best.
    words = ["optim.lr=1e-30", "optim.ssm_lr=1e-30", "model.norm=layer", "train.batch_size=256", "train.epochs=9",
             "train.eval_every_epochs=2", "train.early_stop_epochs=2"]  # fmt: skip
    config = compose([*tiny, *words])
    assert attempt(config, tmp_path) is not None
    (result,) = read_lines(tmp_path / "attempts" / "0" / "result.json")
    assert (result["best_step"], result["steps"]) == (8, 16)
    assert [line["step"] for line in read_metrics(tmp_path) if "val/loss" in line] == [8, 16]


def test_the_best_model_is_tested_and_not_the_last_and_on_other_data_at_their_own_rate(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ("data.zero_shot=digits", "data.zero_shot_rescale=3")
    config = compose([*tiny, *other, "train.batch_size=256", "optim.warmup_epochs=0"])
    (tmp_path / "config.yaml").write_text(config_text(config))
    monkeypatch.setattr(loop, "rank", lambda scores, compat: (0.0,))  # none is better than the first
    metrics = attempt(config, tmp_path)
    first, last = (line["val/loss"] for line in read_metrics(tmp_path) if "val/loss" in line)
    assert metrics is not None and metrics["val/loss"] == first != last
    assert metrics["test/loss"] == pytest.approx(evaluate_run(tmp_path, "test")["test/loss"], rel=1e-5)
    assert abs(metrics["zero_shot/loss"] - metrics["test/loss"]) > 1e-3  # the same data, at another rate


def test_another_environment_is_said(
    config: Config,
    whole: tuple[Path, dict[str, float]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(device, "environment", lambda: {"threads": 999})
    assert attempt(config, tmp_path, 1) is None
    assert f"threads was {device.threads()} and is 999" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_other_data(
    config: Config, whole: tuple[Path, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    tokens = dataclasses.replace(loop.load(config.data), vocabulary="bytes")
    monkeypatch.setattr(loop, "load", lambda *_: tokens)
    with pytest.raises(
        UserError,
        match=r"data\.name=digits: the tokens of digits are bytes, but those of the training data were features",
    ) as caught:
        attempt(config, tmp_path)
    assert "that the run began with" in (caught.value.hint or "")
    monkeypatch.undo()
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=32))
    with pytest.raises(UserError, match="its checkpoints are of a run with another config"):
        attempt(other, tmp_path)


def test_data_of_another_version_are_not_scored() -> None:
    data = DataConfig(zero_shot="digits", zero_shot_version=2)
    with pytest.raises(DataError, match=r"data\.zero_shot_version=2: digits is version 1 in this code"):
        loop._load_zero_shot(Config(data=data), loop.load(DataConfig()))


def test_a_platform_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="platform=tpu"):
        device.start(Platform.tpu)


def test_a_platform_without_a_plugin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(*_: str) -> None:
        raise AssertionError  # as jax 0.10 does where JAX_PLATFORMS names nothing that is installed

    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(UserError, match=r"platform=cuda: JAX finds no such device \(no plug-in is installed\)"):
        device.start(Platform.cuda)


def test_the_compilation_cache_is_for_accelerators() -> None:
    device.start(Platform.any)
    if jax.default_backend() == "cpu":
        assert jax.config.jax_compilation_cache_dir is None


def test_an_interval_starts_without_examples() -> None:
    assert [float(value) for value in jax.tree.leaves(MetricWindow.empty().sums)] == [0, 0, 0]
    assert int(MetricWindow.empty().bad_step) == 0


NAN = float("nan")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"accuracy": 0.9, "loss": 2.0}, {"accuracy": 0.8, "loss": 1.0}),
        ({"accuracy": 0.9, "loss": 1.0}, {"accuracy": 0.9, "loss": 2.0}),
        ({"accuracy": 0.1, "loss": 9.0}, {"accuracy": 0.9, "loss": NAN}),
        ({"loss": 1.0}, {"loss": 2.0}),
        ({"loss": 2.0, "mse": 1.0}, {"loss": 1.0, "mse": 2.0}),
        ({"loss": 2.0, "mse": 1.0}, {"loss": 1.0, "mse": NAN}),
    ],
)
def test_the_best_model_is_the_one_that_scores_better(better: dict[str, float], worse: dict[str, float]) -> None:
    assert rank(better, OURS) > rank(worse, OURS)
    tie = better.get("accuracy") == worse.get("accuracy") is not None
    assert (rank(better, UPSTREAM) > rank(worse, UPSTREAM)) == (not tie)


def test_sums_count_no_filling_rows() -> None:
    from s5.training.metrics import batch_metrics

    logits = jnp.asarray(np.eye(3, dtype=np.float32) * 9)
    full = batch_metrics(logits[:2], jnp.array([0, 2]), jnp.ones(2))
    filled = batch_metrics(logits, jnp.array([0, 2, 2]), jnp.array([1.0, 1.0, 0.0]))
    assert full.means() == filled.means()
    assert full.means()["accuracy"] == 0.5
