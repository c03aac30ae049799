import dataclasses
import itertools
import json
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5.catalog import CATALOG, DataError
from s5.data.batch import BatchSequence, TrainBatches, eval_batches
from s5.data.dataset import Dataset, Split

SETTINGS = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**63)).filter(lambda s: s[1] <= s[0])


def make_split(n: int, length: int = 3) -> Split:
    """Return a split whose labels number its examples and whose inputs can be told from them."""
    inputs = (np.arange(n)[:, None] + np.arange(length)) % 256
    return Split(
        inputs=inputs.astype(np.uint8)[:, :, None],
        labels=np.arange(n, dtype=np.int32),
        lengths=np.arange(n, dtype=np.int32) % length + 1,
        full_scale=255.0,
    )


def take(batches, n: int) -> list[Any]:
    return [batch.labels.tolist() for batch in itertools.islice(batches, n)]


@settings(deadline=None)
@given(SETTINGS)
def test_an_epoch_has_no_example_twice_and_drops_the_ragged_batch(settings: tuple[int, int, int]) -> None:
    n, batch_size, seed = settings
    steps = BatchSequence(make_split(n), batch_size, seed)
    assert steps.steps_per_epoch == n // batch_size
    seen = [label for step in range(steps.steps_per_epoch) for label in steps[step].labels.tolist()]
    assert len(seen) == len(set(seen)) == n // batch_size * batch_size


def test_every_epoch_and_every_seed_has_an_order_of_its_own() -> None:
    split = make_split(64)
    orders = {tuple(BatchSequence(split, 64, seed)[epoch].labels) for seed in range(4) for epoch in range(8)}
    assert len(orders) == 32


@settings(max_examples=40, deadline=None)
@given(SETTINGS, st.integers(0, 100), st.integers(0, 3), st.integers(0, 3))
def test_restored_at_any_step_the_same_batches_follow(
    settings: tuple[int, int, int], step, prefetch, other_prefetch
) -> None:
    n, batch_size, seed = settings
    split = make_split(n)
    whole = TrainBatches(split, batch_size, seed, prefetch=prefetch)
    take(whole, step)
    state = json.loads(json.dumps(whole.get_state()))
    expected = take(whole, 7)
    restored = TrainBatches(split, batch_size, seed, prefetch=other_prefetch)
    take(restored, 3)
    restored.set_state(state)
    assert restored.step == step
    assert take(restored, 7) == expected
    assert take(TrainBatches(split, batch_size, seed, step, prefetch=other_prefetch), 7) == expected
    whole.set_state(state)
    assert take(whole, 7) == expected


def test_restoring_far_out_takes_no_time() -> None:
    # Whatever walked there step by step, or kept a list of epochs, would never arrive.
    far = 2**45 + 17
    batches = TrainBatches(make_split(100), 7, 0, far)
    assert batches.get_state()["step"] == far
    assert next(batches).labels.tolist() == BatchSequence(make_split(100), 7, 0)[far].labels.tolist()
    batches.close()


def test_batches_prepared_ahead_do_not_count_in_the_state() -> None:
    batches = TrainBatches(make_split(100), 10, 0, prefetch=5)
    assert batches.get_state()["step"] == 0
    next(batches)
    assert batches.get_state()["step"] == 1


@pytest.mark.parametrize(
    ("key", "other"), [("seed", 2), ("batch_size", 11), ("examples", 99), ("version", 2)], ids=lambda value: str(value)
)
def test_a_state_of_something_else_is_refused(key: str, other: int) -> None:
    batches = TrainBatches(make_split(100), 10, 1)
    state = {**batches.get_state(), key: other}
    with pytest.raises(ValueError, match=f"batches have {key}={other}, but this run has"):
        batches.set_state(state)


def test_a_step_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="step -1 is out of range"):
        TrainBatches(make_split(10), 2, 0, -1)


@pytest.mark.parametrize("batch_size", [0, 11])
def test_a_batch_that_the_split_cannot_fill_is_refused(batch_size: int) -> None:
    with pytest.raises(
        DataError, match=f"train.batch_size={batch_size}: must be at least 1 and at most 10, the examples of the split"
    ) as error:
        TrainBatches(make_split(10), batch_size, 0)
    assert error.value.hint == "choose 1 to 10"


def test_pixels_are_scaled_to_one_when_a_batch_is_made() -> None:
    split = Split(
        inputs=np.arange(256, dtype=np.uint8)[:, None, None],
        labels=np.arange(256, dtype=np.int32),
        lengths=np.ones(256, np.int32),
        full_scale=255.0,
    )
    batch = next(TrainBatches(split, 256, 0))
    assert batch.inputs.dtype == np.float32
    np.testing.assert_array_equal(batch.inputs[:, 0, 0], batch.labels.astype(np.float32) / np.float32(255))
    assert batch.inputs.max() == 1.0


def test_inputs_lengths_and_labels_stay_together() -> None:
    split = make_split(50)
    batch = next(TrainBatches(split, 20, 3))
    np.testing.assert_array_equal(batch.inputs, split.inputs[batch.labels] / np.float32(255))
    np.testing.assert_array_equal(batch.lengths, split.lengths[batch.labels])
    np.testing.assert_array_equal(batch.weight, np.ones(20))


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 20))
def test_evaluation_sees_every_example_once_in_one_shape(n: int, batch_size: int) -> None:
    batches = list(eval_batches(make_split(n), batch_size))
    assert {tuple(part.shape for part in jax.tree.leaves(batch)) for batch in batches} == {
        ((batch_size, 3, 1), (batch_size,), (batch_size,), (batch_size,))
    }
    assert [label for batch in batches for label in batch.labels[batch.weight == 1]] == list(range(n))
    assert sum(batch.weight.sum() for batch in batches) == n


def test_a_batch_is_a_pytree_of_four_arrays() -> None:
    batch = next(eval_batches(make_split(4), 4))
    assert [leaf.shape for leaf in jax.tree.leaves(batch)] == [(4, 3, 1), (4,), (4,), (4,)]


def test_an_error_on_the_thread_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("s5.data.batch.gather", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        take(TrainBatches(make_split(10), 10, 0), 1)


def test_closed_iteration_ends() -> None:
    batches = TrainBatches(make_split(10), 2, 0)
    next(batches)
    batches.close()
    batches.close()
    assert list(batches) == []


def test_a_process_ends_with_batches_still_in_preparation() -> None:
    code = """
import numpy as np
from s5.data.batch import TrainBatches
from s5.data.dataset import Split
ones = np.ones(100, np.int32)
batches = TrainBatches(Split(inputs=np.ones((100, 9, 1), np.uint8), labels=ones, lengths=ones), 10, 0, prefetch=4)
next(batches)
print("done")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_what_the_catalog_says_of_the_steps_is_what_is_loaded() -> None:
    info, split = CATALOG["spamassassin_bytes"], dataclasses.replace(make_split(4), tokens=True, full_scale=1.0)
    Dataset.from_info(info, {"train": split}, vocabulary="bytes")
    with pytest.raises(AssertionError, match="tokens have a vocabulary, features do not"):
        Dataset.from_info(info, {"train": split})
    with pytest.raises(AssertionError, match=r"spamassassin_bytes, val: the catalog says .*'tokens': True"):
        Dataset.from_info(info, {"train": split, "val": make_split(4)}, vocabulary="bytes")
    with pytest.raises(AssertionError, match=r"spamassassin_bytes, val: .* the files say .*'times': True"):
        Dataset.from_info(
            info, {"val": dataclasses.replace(split, times=np.zeros((4, 3), np.float32))}, vocabulary="bytes"
        )
