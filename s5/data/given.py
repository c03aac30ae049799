"""Checks of inputs that a user passes to a trained model, against the data that the model was trained on."""

import operator
from typing import Any

import numpy as np
from jaxtyping import Int32, Shaped

from s5.data.input_facts import InputFacts


def check_given(
    inputs: Any, lengths: Any, times: Any, like: InputFacts, *, d_input: int
) -> tuple[Shaped[np.ndarray, "n *documents L d_stored"], Int32[np.ndarray, " n *documents"]]:
    """Return inputs and lengths as arrays.

    Args:
        inputs: Sequences in the units of the stored data, padded at their ends.
        lengths: Valid steps of each sequence; None if all are valid.
        times: When each step was observed; None if all intervals are 1.
        like: The inputs of the data that the model was trained on.
        d_input: Number of different tokens, if the data have tokens.

    Raises:
        ValueError: If an argument does not fit; the message has the argument, the row, and the value.
    """
    inputs = _as_numbers("inputs", inputs)
    _check_shape(inputs, (0, *like.documents, like.length, like.d_stored))
    shape = inputs.shape[:-2]
    if lengths is None:
        lengths = np.full(shape, inputs.shape[-2], np.int32)
    lengths = _as_numbers("lengths", lengths)
    if lengths.shape != shape or not np.issubdtype(lengths.dtype, np.integer):
        raise ValueError(f"lengths are {lengths.dtype} of shape {lengths.shape}; expected integers of shape {shape}")
    _refuse((lengths < 1) | (lengths > inputs.shape[-2]), "lengths", lengths, f"1 to {inputs.shape[-2]} are allowed")
    valid = np.arange(inputs.shape[-2]) < lengths[..., None]
    if like.tokens:
        if not np.issubdtype(inputs.dtype, np.integer):
            raise ValueError(
                f"inputs are {inputs.dtype}, but this model reads tokens: integers from 0 to {d_input - 1}"
            )
        wrong = (inputs < 0) | (inputs >= d_input)
        _refuse(wrong & valid[..., None], "inputs", inputs, f"tokens are 0 to {d_input - 1}")
        inputs = np.where(valid[..., None], inputs, 0)
    elif np.issubdtype(inputs.dtype, np.floating):
        _refuse(~np.isfinite(inputs) & valid[..., None], "inputs", inputs, "values must be finite")
        inputs = np.where(valid[..., None], inputs, np.zeros((), inputs.dtype))
    _check_times(times, inputs.shape[:-1], valid, required=like.times)
    return inputs, lengths.astype(np.int32)


def pad_sequences(inputs: Any) -> tuple[Any, list[int] | None]:
    """Return sequences of different lengths as one padded array, with their lengths.

    Args:
        inputs: A list of arrays (L, d_stored); anything else is returned unchanged, with None.
    """
    if not isinstance(inputs, list | tuple) or not inputs or any(np.ndim(one) != 2 for one in inputs):
        return inputs, None
    sequences = [np.asarray(one) for one in inputs]
    lengths = [len(one) for one in sequences]
    if len(set(lengths)) == 1 or len({one.shape[1] for one in sequences}) > 1:
        return inputs, None
    padded = np.zeros((len(sequences), max(lengths), sequences[0].shape[1]), np.result_type(*sequences))
    for row, one in zip(padded, sequences, strict=True):
        row[: len(one)] = one
    return padded, lengths


def _check_shape(inputs: np.ndarray, stored: tuple[int, ...]) -> None:
    """Raise if the inputs do not have the axes and the width of the stored data."""
    shape, axes = inputs.shape, len(stored)
    wanted = ("n", *map(str, stored[1:-2]), "L", str(stored[-1]))
    hint = ""
    if len(shape) == axes - 1 and shape[-1:] == stored[-1:]:
        hint = "; inputs[None] adds the axis of examples"
    elif len(shape) == axes - 1 and stored[-1] == 1:
        hint = "; inputs[..., None] adds the axis of features"
    if len(shape) != axes or shape[1:-2] != stored[1:-2] or shape[-1] != stored[-1] or 0 in shape:
        raise ValueError(f"inputs have shape {shape}; expected ({', '.join(wanted)}){hint}")


def _check_times(times: Any, shape: tuple[int, ...], valid: np.ndarray, *, required: bool) -> None:
    if times is None:
        if required:
            raise ValueError("times are missing: the data of this run have the time of each step")
        return
    times = _as_numbers("times", times)
    if times.shape != shape:
        raise ValueError(f"times have shape {times.shape}; expected {shape}")
    _refuse(~np.isfinite(times) & valid, "times", times, "times must be finite")
    back = np.zeros(shape, bool)
    back[..., 1:] = (np.diff(times) < 0) & valid[..., 1:]
    _refuse(back, "times", times, "times must not decrease")


def _as_numbers(name: str, values: Any) -> np.ndarray:
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: sequences of different lengths; pad them and give `lengths`") from error
    if found.dtype == bool or not (np.issubdtype(found.dtype, np.integer) or np.issubdtype(found.dtype, np.floating)):
        raise ValueError(f"{name} are {found.dtype}; expected numbers")
    return found


def _refuse(wrong: np.ndarray, name: str, values: np.ndarray, allowed: str) -> None:
    """Raise if a value is wrong; the message has the indices of the first one."""
    if wrong.any():
        at = tuple(map(operator.index, np.argwhere(wrong)[0]))
        place = ", ".join(map(str, at))
        raise ValueError(f"{name}[{place}] is {values[at]}; {allowed}")
