"""Inputs that a user passes to a trained model: an error names the argument, the row and the value."""

import json
from typing import Any

import numpy as np
import pytest

from s5.data.dataset import Split
from s5.data.given import check_given, pad_sequences
from s5.data.input_facts import InputFacts

N, L, D = 3, 7, 2


def split(shape: tuple[int, ...] = (5, L, D), *, tokens: bool = False, times: bool = False) -> InputFacts:
    split = Split(
        inputs=np.zeros(shape, np.int32 if tokens else np.float32),
        labels=np.zeros(5, np.int32),
        lengths=np.full(shape[:-2], L, np.int32),
        tokens=tokens,
        times=np.zeros((5, L), np.float32) if times else None,
    )
    return InputFacts.read(json.loads(json.dumps(InputFacts.of(split).to_json())))


def features(**changes: Any) -> np.ndarray:
    values = np.arange(N * L * D, dtype=float).reshape(N, L, D)
    for place, value in changes.items():
        values[tuple(map(int, place.split("_")[1:]))] = value
    return values


STEPS = np.tile(np.arange(L, dtype=float), (N, 1))
BACK = STEPS.copy()
BACK[1, 4] = 2.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"inputs": features()[0]}, r"inputs have shape \(7, 2\); expected \(n, L, 2\); inputs\[None\]"),
        ({"inputs": features()[..., :1]}, r"inputs have shape \(3, 7, 1\); expected \(n, L, 2\)"),
        ({"inputs": features()[:0]}, r"inputs have shape \(0, 7, 2\)"),
        ({"inputs": features(at_2_3_1=np.nan)}, r"inputs\[2, 3, 1\] is nan; values must be finite"),
        ({"inputs": features(at_0_6_0=-np.inf)}, r"inputs\[0, 6, 0\] is -inf"),
        ({"inputs": [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]]}, "inputs: sequences of different lengths; pad"),
        ({"inputs": features().astype(str)}, "inputs are <U.*expected numbers"),
        ({"inputs": features() > 0}, "inputs are bool"),
        ({"lengths": [7, 8, 1]}, r"lengths\[1\] is 8; 1 to 7 are allowed"),
        ({"lengths": [7, 7, 0]}, r"lengths\[2\] is 0"),
        ({"lengths": [7, 7]}, r"lengths are int64 of shape \(2,\); expected integers of shape \(3,\)"),
        ({"lengths": [7.0, 7.0, 7.0]}, "lengths are float64"),
        ({"times": STEPS[:, :-1]}, r"times have shape \(3, 6\); expected \(3, 7\)"),
        ({"times": BACK}, r"times\[1, 4\] is 2.5; times must not decrease"),
        ({"times": np.where(STEPS == 6, np.nan, STEPS)}, r"times\[0, 6\] is nan"),
    ],
)
def test_what_does_not_fit_is_named(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_given(words.get("inputs", features()), words.get("lengths"), words.get("times"), split(), d_input=D)


def test_padding_may_hold_anything() -> None:
    inputs, lengths = check_given(features(at_1_5_0=np.nan), [7, 5, 6], None, split(), d_input=D)
    assert np.isfinite(inputs).all() and lengths.tolist() == [7, 5, 6] and lengths.dtype == np.int32


def test_tokens_are_checked_against_their_number() -> None:
    like, tokens = split((5, L, 1), tokens=True), np.full((N, L, 1), 9)
    assert check_given(tokens, None, None, like, d_input=10)[0].tolist() == tokens.tolist()
    tokens[1, 6] = 10
    with pytest.raises(ValueError, match=r"inputs\[1, 6, 0\] is 10; tokens are 0 to 9"):
        check_given(tokens, None, None, like, d_input=10)
    check_given(tokens, [7, 6, 7], None, like, d_input=10)
    with pytest.raises(ValueError, match="inputs are float64, but this model reads tokens"):
        check_given(tokens.astype(float), None, None, like, d_input=10)


def test_pairs_and_times_of_the_data_are_required() -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 2, L, 1\)"):
        check_given(np.zeros((4, L, 1)), None, None, split((5, 2, L, 1)), d_input=1)
    with pytest.raises(ValueError, match="times are missing"):
        check_given(features(), None, None, split(times=True), d_input=D)
    check_given(features(), None, STEPS + 1.7e9, split(times=True), d_input=D)


def test_a_list_of_sequences_of_different_lengths_is_padded() -> None:
    padded, lengths = pad_sequences([np.ones((3, 2)), np.full((5, 2), 2.0)])
    assert lengths == [3, 5]
    assert padded.shape == (2, 5, 2) and not padded[0, 3:].any() and padded[1].all()
    inputs, valid = check_given(padded, lengths, None, split(), d_input=D)
    assert inputs.shape == (2, 5, 2) and valid.tolist() == [3, 5]


@pytest.mark.parametrize(
    "given", [np.ones((2, 5, 2)), [np.ones((3, 2)), np.ones((3, 2))], [np.ones(3), np.ones(2)], []]
)
def test_anything_else_is_not_padded(given: Any) -> None:
    assert pad_sequences(given) == (given, None) or pad_sequences(given)[0] is given
