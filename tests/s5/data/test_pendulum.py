import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5.catalog import CATALOG, DataError, MissingData, cache_path
from s5.config.choices import Head
from s5.config.data import DataConfig
from s5.data import convert, load
from s5.data.batch import gather
from s5.data.generate.pendulum import draw_pictures, draw_set, simulate
from s5.data.pendulum import kept_frames
from s5.data.prepare import main
from s5.run_dir.result import Exit

image = pytest.importorskip("PIL.Image")

PINNED = (-0.78723427, 0.72863184, -0.2407236)
SIZES = {"train": 6, "val": 3, "test": 2}


def plain_set(rng, n: int):
    """Draw a set as the source describes it: one number of the world at a time, and every frame of every picture."""
    from PIL import ImageDraw

    h, torque = 1e-4, 9.81 / (1 / 3)
    state = np.concatenate([rng.uniform(0, 2 * np.pi, (n, 1)), np.zeros((n, 1))], axis=1)
    states = [state]
    for _ in range(99):
        for _ in range(100):
            omega = state[:, 1] + h * (torque * np.sin(state[:, 0]) - 0.1 * state[:, 1])
            state = np.stack([state[:, 0] + h * omega, omega], axis=1)
        kicks = rng.normal(0, 0.1, n)
        state = np.stack([state[:, 0] % (2 * np.pi), state[:, 1] + kicks], axis=1)
        states.append(state)
    states = np.stack(states, axis=1)
    states[..., 0] -= np.pi
    seen = states + rng.normal(0, 1e-5, (n, 100, 2))
    factors = [rng.uniform(0, 1, n)]
    for _ in range(99):
        factors.append(np.clip(factors[-1] + rng.uniform(-0.2, 0.2, n), 0, 1))
    low, high = rng.uniform(0, 0.25, (n, 1)), rng.uniform(0.75, 1, (n, 1))
    factors = np.clip((np.stack(factors, axis=1) - low) / (high - low), 0, 1)
    factors[:, :5] = 1
    pictures = np.zeros((n, 100, 24, 24), np.uint8)
    for i in range(n):
        noise = rng.uniform(0, 255, (100, 24, 24, 1))[..., 0]
        for t in range(100):
            canvas = image.fromarray(np.zeros((128, 128), np.float32))
            angle = seen[i, t, 0]
            ImageDraw.Draw(canvas).line(
                [(64.0, 64.0), (64 + 55 * np.sin(angle), 64 + 55 * np.cos(angle))], fill=1.0, width=8
            )
            clean = np.asarray(canvas.resize((24, 24), image.Resampling.LANCZOS))
            clean = (np.clip(clean, 0, 1) * 255.0).astype(np.uint8)
            pictures[i, t] = (factors[i, t] * clean + (1 - factors[i, t]) * noise[t]).astype(np.uint8)
    return states, pictures


def test_draws_are_those_of_the_plain_procedure_bit_for_bit() -> None:
    plain, ours = np.random.RandomState(42), np.random.RandomState(42)
    for n in (4, 3):  # the second set begins where the first has ended
        states, pictures = plain_set(plain, n)
        parts = list(draw_set(ours, n, chunk_size=2))
        np.testing.assert_array_equal(np.concatenate([part.angles for part in parts]), states[..., 0])
        np.testing.assert_array_equal(np.concatenate([draw_pictures(part) for part in parts]), pictures)
    assert plain.uniform() == ours.uniform()


def test_the_first_draws_are_pinned() -> None:
    states = simulate(np.random.RandomState(42), 2000)
    np.testing.assert_array_equal(states[:3, 0, 0], np.random.RandomState(42).uniform(0, 2 * np.pi, 3) - np.pi)
    np.testing.assert_allclose(states[0, [1, 50, 99], 0], PINNED, rtol=0, atol=1e-7)


def test_a_pendulum_without_kicks_and_friction_keeps_its_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s5.data.generate.pendulum._TRANSITION_STD", 0.0)
    monkeypatch.setattr("s5.data.generate.pendulum._FRICTION", 0.0)
    states = simulate(np.random.RandomState(0), 50)
    energy = states[..., 1] ** 2 / 2 - 29.43 * np.cos(states[..., 0])
    assert np.abs(energy - energy[:, :1]).max() < 0.05 * 29.43


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataConfig:
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(CATALOG, "pendulum", dataclasses.replace(CATALOG["pendulum"], sizes=SIZES))
    return DataConfig(name="pendulum")


def test_half_of_the_frames_are_kept_with_their_times(small: DataConfig) -> None:
    with pytest.raises(MissingData, match="not generated yet"):
        load(small)
    convert(small)
    dataset = load(small)
    assert (dataset.head, dataset.length, dataset.d_input, dataset.n_classes) == (Head.regression, 50, 576, 2)
    assert {name: len(split) for name, split in dataset.splits.items()} == SIZES
    rng = np.random.RandomState(42)
    expected = {"train": plain_set(rng, 6), "test": plain_set(rng, 2), "val": plain_set(np.random.RandomState(43), 3)}
    for name, (states, pictures) in expected.items():
        split = dataset.splits[name]
        batch = gather(split, np.arange(len(split)))
        for row in range(len(split)):
            kept = kept_frames(name, row, SIZES[name], 50)
            assert (np.diff(kept) > 0).all() and len(kept) == 50
            np.testing.assert_array_equal(split.times[row], kept)
            np.testing.assert_allclose(batch.inputs[row], pictures[row, kept].reshape(50, 576) / 255, atol=1e-6)
            angle = states[row, kept, 0]
            np.testing.assert_allclose(batch.labels[row], np.stack([np.sin(angle), np.cos(angle)], -1), atol=1e-6)


def write_npz(path: Path, **changed: Any) -> dict[Any, Any]:
    rng, arrays = np.random.default_rng(0), {}
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        n = SIZES[split]
        arrays[f"{name}_obs"] = rng.integers(0, 256, (n, 100, 24, 24, 1), np.uint8)
        arrays[f"{name}_targets"] = rng.standard_normal((n, 100, 2))
        arrays[f"{name}_ts"] = np.tile(np.arange(100), (n, 1))
    np.savez(path, **arrays | changed)
    return arrays


def test_the_published_file_is_read(small: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(CATALOG, "pendulum_npz", dataclasses.replace(CATALOG["pendulum_npz"], sizes=SIZES))
    arrays = write_npz(tmp_path / "pend_regression.npz")
    dataset = load(DataConfig(name="pendulum_npz", root=str(tmp_path)))
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        for row in range(SIZES[split]):
            kept = kept_frames(split, row, SIZES[split], 50)
            found = dataset.splits[split]
            np.testing.assert_array_equal(found.inputs[row], arrays[f"{name}_obs"][row, kept].reshape(50, 576))
            np.testing.assert_array_equal(found.labels[row], arrays[f"{name}_targets"][row, kept].astype(np.float32))
            np.testing.assert_array_equal(found.times[row], kept)


def test_the_bare_file_is_taken_from_where_it_is(
    small: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CATALOG, "pendulum_npz", dataclasses.replace(CATALOG["pendulum_npz"], sizes=SIZES))
    file = tmp_path / "pend_regression.npz"
    write_npz(file)
    (tmp_path / "pendulum").mkdir()
    write_npz(tmp_path / "pendulum/pend_regression.npz")
    assert main(["pendulum_npz", "--from", str(file)]) == Exit.USER_ERROR
    assert f"pendulum_npz would be read from {tmp_path}/pendulum" in capsys.readouterr().err
    (tmp_path / "pendulum/pend_regression.npz").unlink()
    file.rename(tmp_path / "other.npz")
    assert main(["pendulum_npz", "--from", str(tmp_path / "other.npz"), "--root", str(tmp_path)]) == Exit.USER_ERROR
    assert "hint: `--from FOLDER` takes a folder with pend_regression.npz; or: " in capsys.readouterr().err
    (tmp_path / "other.npz").rename(file)
    assert main(["pendulum_npz", "--from", str(file)]) == Exit.OK
    out = capsys.readouterr().out
    assert "50 steps of 576; 2 values a step" in out and "not converted" not in out


def test_what_is_given_and_not_needed_is_said_to_be_left_alone(
    small: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CATALOG, "pendulum_npz", dataclasses.replace(CATALOG["pendulum_npz"], sizes=SIZES))
    for folder in ("one", "other", "empty"):
        (tmp_path / folder).mkdir()
    write_npz(tmp_path / "one/pend_regression.npz")
    write_npz(tmp_path / "other/pend_regression.npz", train_targets=np.zeros((SIZES["train"], 100, 2)))
    assert main(["pendulum_npz", "--from", str(tmp_path / "one")]) == Exit.OK
    assert "not converted" not in capsys.readouterr().out
    assert main(["pendulum_npz", "--from", str(tmp_path / "other")]) == Exit.OK
    path = cache_path(CATALOG["pendulum_npz"])
    said = f"not converted: {tmp_path}/other; the cache from an earlier conversion is still valid: remove {path} first"
    assert said in capsys.readouterr().out
    assert load(DataConfig(name="pendulum_npz")).splits["train"].labels.any()  # those of the first
    assert main(["pendulum_npz", "--from", str(tmp_path / "empty")]) == Exit.USER_ERROR
    assert f"{tmp_path}/empty/pendulum" in capsys.readouterr().err


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def other_shape(path: Path) -> None:
    write_npz(path, valid_obs=np.zeros((9, 100, 24, 24, 1), np.uint8))


def other_type(path: Path) -> None:
    write_npz(path, valid_obs=np.zeros((SIZES["val"], 100, 24, 24, 1), np.float32))


def lacking(path: Path) -> None:
    np.savez(path, train_obs=np.zeros(3))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut, r"pend_regression\.npz: not a complete \.npz file"),
        (lambda path: path.write_text("<html>"), r"pend_regression\.npz: not a complete \.npz file"),
        (other_shape, r"valid_obs is uint8 of shape \(9, 100"),
        (other_type, r"valid_obs is float32 of shape .* expected uint8"),
        (lacking, r"train_obs is float64 of shape \(3,\)"),
    ],
)
def test_another_file_is_named_and_leaves_nothing(
    small: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harm: Callable[..., Any], message: str
) -> None:
    monkeypatch.setitem(CATALOG, "pendulum_npz", dataclasses.replace(CATALOG["pendulum_npz"], sizes=SIZES))
    write_npz(tmp_path / "pend_regression.npz")
    harm(tmp_path / "pend_regression.npz")
    with pytest.raises(DataError, match=message):
        load(DataConfig(name="pendulum_npz", root=str(tmp_path)))
    assert os.listdir(tmp_path / "cache") == [".pendulum_npz-v1.lock"]


def test_which_frames_are_kept_follows_the_published_seeds() -> None:
    for split, offset in (("train", 2000), ("val", 1000), ("test", 0)):
        n = {"train": 2000}.get(split, 1000)
        expected = np.sort(np.random.default_rng(7 + offset).choice(100, 50, replace=False))
        np.testing.assert_array_equal(kept_frames(split, 7, n, 50), expected)
