"""The trainer before its first step: checks, initial values, batches."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import pytest

import s5.training.trainer
from s5.config.compose import compose
from s5.data import load
from s5.data.batch import Batch
from s5.process.sharding import Devices
from s5.training.trainer import Trainer


def drawn_by(seed: int, tiny: list[str]) -> dict[str, bytes]:
    """Return the initial values, the first batch and the dropout that a seed decides."""
    config = dataclasses.replace(compose(tiny), seed=seed)
    trainer = Trainer(config, load(config.data), Devices(1))
    batches = trainer.batches()
    batch = next(batches)
    batches.close()
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trainer.state.params)])
    key = np.asarray(jax.random.key_data(trainer.state.key))
    return {"values": values.tobytes(), "batch": batch.inputs.tobytes(), "dropout": key.tobytes()}


def test_the_seed_decides_initial_values_order_and_dropout(tiny: list[str]) -> None:
    one, same, other = (drawn_by(seed, tiny) for seed in (0, 0, 1))
    assert one == same
    assert [name for name in one if one[name] == other[name]] == []


def test_an_evaluation_step_is_not_larger_than_the_split(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []

    def evaluate(*words: Any, **_: object) -> dict[str, float]:
        batches: Iterable[Batch] = words[3]
        rows.extend(len(batch.inputs) for batch in batches)
        return {}

    monkeypatch.setattr(s5.training.trainer, "evaluate", evaluate)
    config = compose([*tiny, "train.eval_batch_size=20000"])
    dataset = load(config.data)
    trainer = Trainer(config, dataset, Devices(1))
    trainer.evaluate("val", lambda: False)
    trainer.evaluate("test", lambda: False)
    assert rows == [len(dataset.splits["val"]), len(dataset.splits["test"])]
