"""What a training carries besides parameters and Adam's moments, through interruptions: bit for bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5.config.compose import compose
from s5.errors import Stopped
from s5.run_dir.result import read_metrics
from s5.training import batch_size, checkpoints, loop
from tests.s5.stop_requests import StopsAt

pytestmark = pytest.mark.slow

KEYS = [
    "train.batch_size=auto",
    "train.ema=0.9",
    "optim.lr_of={log_step: 0.02, norm.*: 0}",
    "optim.layer_decay=0.9",
]


def attempt(config: Any, run_dir: Path, stops_at: int = 0) -> dict[str, float] | None:
    folder = run_dir / "attempts" / str(len(list(run_dir.glob("attempts/*"))))
    folder.mkdir(parents=True)
    try:
        return loop.train(config, run_dir, folder, StopsAt(stops_at))
    except Stopped:
        return None


def test_the_average_and_the_batch_size_are_resumed(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole, pieces, sizes = compose([*tiny, *KEYS]), tmp_path / "whole", tmp_path / "pieces", iter([256, 256])
    # Where the memory has changed, another search would find another number; a third search fails.
    monkeypatch.setattr(batch_size, "find_batch_size", lambda *_: next(sizes))
    metrics = attempt(config, whole)
    assert attempt(config, pieces, 9) is None
    assert attempt(config, pieces) == metrics
    assert read_metrics(pieces) == read_metrics(whole)
    one, other = checkpoints.newest(whole), checkpoints.newest(pieces)
    assert one is not None and other is not None
    assert one.progress == other.progress and one.progress["batch_size"] == 256
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(other.arrays[name], array, err_msg=name)
    best = {name for name in one.arrays if name.startswith("best/")}
    assert one.progress["best_step"] == one.step
    assert {name for name in one.arrays if ".average." in name} == {f"state.average.{name[5:]}" for name in best}
    for name in best:
        np.testing.assert_array_equal(one.arrays[name], one.arrays[f"state.average.{name[5:]}"])
    assert any((one.arrays[name] != one.arrays[f"state.{name[5:]}"]).any() for name in best)
    assert json.loads((pieces / "attempts" / "1" / "result.json").read_text())["batch_size"] == 256
