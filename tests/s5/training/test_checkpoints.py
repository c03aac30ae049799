import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.errors import UserError
from s5.training import checkpoints
from s5.training.checkpoints import CorruptCheckpoint, digest, flatten, newest, read, save, unflatten


def tree(value: float) -> dict[str, object]:
    return {
        "weights": [jnp.full((3, 2), value), jnp.arange(4, dtype=jnp.int32)],
        "scalar": jnp.float32(value),
        "key": jax.random.key(7),
    }


def save_at(run_dir: Path, attempt: int, step: int, keep: int = 9) -> Path:
    folder = run_dir / "attempts" / str(attempt)
    folder.mkdir(parents=True, exist_ok=True)
    return save(folder, step, flatten(tree(step), "state"), {"step": step}, {"threads": 1}, keep)


def damage(path: Path) -> None:
    """Change one byte in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def biggest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    checkpoint = read(save_at(tmp_path, 0, 5))
    assert (checkpoint.attempt, checkpoint.step, checkpoint.progress) == (0, 5, {"step": 5})
    back = unflatten(tree(0), checkpoint.arrays, "state")
    assert digest(flatten(back, ""), {}) == digest(flatten(tree(5), ""), {})
    assert jax.random.uniform(back["key"]) == jax.random.uniform(jax.random.key(7))


def test_a_saved_copy_does_not_follow_its_source() -> None:
    source = np.zeros(3)
    copy = flatten([source], "x")
    source += 1
    assert not next(iter(copy.values())).any()


def test_a_digest_sees_value_name_type_and_shape() -> None:
    base = {"a": np.zeros((2, 3), np.float32)}
    others = [
        {"a": np.ones((2, 3), np.float32)},
        {"b": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((2, 3), np.int32)},
        {"a": np.zeros((3, 2), np.float32)},
        {"a": -np.zeros((2, 3), np.float32)},
    ]
    assert len({digest(arrays, {}) for arrays in [base, *others]}) == 6
    assert digest(base, {"step": 1}) != digest(base, {"step": 2})


def test_the_most_advanced_of_any_attempt_is_taken(tmp_path: Path) -> None:
    save_at(tmp_path, 0, 10)
    save_at(tmp_path, 2, 30)
    save_at(tmp_path, 10, 20)
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.attempt, checkpoint.step) == (2, 30)


def test_without_checkpoints_there_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path) is None


@pytest.mark.parametrize("part", ["state", "checkpoint.json", "state/_METADATA", "all of state", "empty meta"])
def test_a_damaged_one_is_passed_over_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str) -> None:
    save_at(tmp_path, 0, 1)
    bad = save_at(tmp_path, 1, 2)
    match part:
        case "state":
            damage(biggest(bad / "state"))
        case "all of state":
            for path in (bad / "state").rglob("*"):
                if path.is_file():
                    path.write_bytes(b"")
        case "empty meta":
            (bad / "checkpoint.json").write_text("")
        case _:
            damage(bad / part)
    checkpoint = newest(tmp_path)
    said = capsys.readouterr().err
    if part == "state/_METADATA" and checkpoint is not None and checkpoint.step == 2:
        # Damage that a reader does not notice must not change what it reads.
        assert digest(checkpoint.arrays, {}) == digest(flatten(tree(2), "state"), {})
        return
    assert checkpoint is not None
    assert checkpoint.step == 1
    assert str(bad) in said
    assert "damaged" in said


def test_a_changed_step_or_progress_is_seen(tmp_path: Path) -> None:
    path = save_at(tmp_path, 0, 1)
    facts = json.loads((path / "checkpoint.json").read_text())
    (path / "checkpoint.json").write_text(json.dumps({**facts, "progress": {"step": 2}}))
    with pytest.raises(CorruptCheckpoint, match="digest"):
        read(path)


def test_a_half_written_one_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_at(tmp_path, 0, 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            save_at(tmp_path, 0, 2)
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1


def test_the_last_ones_stay(tmp_path: Path) -> None:
    for attempt, step in ((0, 1), (0, 2), (1, 3), (1, 4), (1, 5)):
        save_at(tmp_path, attempt, step, keep=2)
    left = {path.relative_to(tmp_path / "attempts").as_posix() for path in tmp_path.glob("attempts/*/checkpoints/*")}
    assert left == {"1/checkpoints/4", "1/checkpoints/5"}


def test_a_damaged_advanced_one_does_not_push_out_new_ones(tmp_path: Path) -> None:
    damage(biggest(save_at(tmp_path, 0, 100) / "state"))
    save_at(tmp_path, 1, 50, keep=1)
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 50


def test_arrays_that_do_not_fit_the_model_are_named() -> None:
    arrays = flatten({"a": np.zeros(3, np.float32)}, "state")
    with pytest.raises(UserError, match=r"state\['b'\] is missing"):
        unflatten({"b": jnp.zeros(3)}, arrays, "state")
    with pytest.raises(UserError, match=r"float32\[3\], the model has float32\[4\]"):
        unflatten({"a": jnp.zeros(4)}, arrays, "state")


@pytest.mark.parametrize(("version", "age"), [(1, "an earlier"), (99, "a later")])
def test_one_of_another_layout_is_refused_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, age: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "CHECKPOINT_VERSION", version)
        save_at(tmp_path, 0, 1)
    with pytest.raises(UserError, match=rf"{age} version of the code wrote it, in layout {version};") as caught:
        newest(tmp_path)
    assert "check out that version" in (caught.value.hint or "")
