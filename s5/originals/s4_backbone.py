"""What the models of all versions of the S4 repository share around their layers: names, encoders, norms.

In their bidirectional layers the second kernel starts one step late: y_k has C_2 Λ̄^(j−1) B̄ u_{k+j} for j ≥ 1 and
nothing for j = 0. Ours has C Λ̄^j B̄ u_{k+j} for j ≥ 0. So C is C_2 Λ̄⁻¹, and D takes away what this adds at j = 0.
"""

from typing import Any

import numpy as np

from s5.config.choices import Norm
from s5.errors import UserError
from s5.originals.layout import Context, Row, Source
from s5.originals.rows import torch_norm

LAYER = "model.layers.*"

# What PyTorch and Lightning store besides the weights.
TORCH_STATE = (
    "**.num_batches_tracked",
    "**epoch",
    "**global_step",
    "callbacks.**",
    "loops.**",
    "hyper_parameters.**",
)
RENAMES = (
    (r"^state_dict\.", ""),
    (r"^encoder\.(\d+\.)+", "encoder."),
    (r"^decoder\.(\d+\.)*output_transform\.", "decoder."),
)

# Undoing one step may multiply a state by at most this: more would leave too few digits of float32.
_MOST_UNDONE = 100.0


def check_undone(largest: float) -> None:
    """Raise UserError if undoing one step multiplies a state by too much.

    Args:
        largest: The largest factor, at least that of any state.
    """
    if not largest < _MOST_UNDONE:
        raise UserError(
            "the second kernel of a bidirectional layer of the original starts one step late, and ours does not: "
            f"to undo a step multiplies a state by {largest:.3g} here, which leaves too few digits"
        )


def encoder_rows() -> tuple[Row, ...]:
    """Return the rows of an encoder that is an embedding or a dense layer."""
    ours = ("encoder.weight", "encoder.bias")
    return (
        Row(
            ("encoder.weight",),
            ours,
            lambda _, arrays: (arrays[0], np.zeros(arrays[0].shape[1])),
            "of an embedding: as it is, with the bias 0",
        ),
        Row(("encoder.weight", "encoder.bias"), ours, lambda _, arrays: (arrays[0].T, arrays[1]), "transposed"),
    )


def norm_rows(theirs: str, ours: str) -> tuple[Row, ...]:
    """Return the rows of a norm; with `transposed`, a layer norm has two numbers: a scale s and a shift m."""
    names = (f"{theirs}.s", f"{theirs}.m")

    def expand(context: Context, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        if arrays[1].any():
            raise UserError(
                f"{names[1]} is {arrays[1].item():.3g} and must be 0: the norm adds it before it divides by the "
                "standard deviation, and ours adds nothing there"
            )
        return arrays[0] * np.ones(context.config.d_model), np.zeros(context.config.d_model)

    return *torch_norm(theirs, ours), Row(
        names, (f"{ours}.scale", f"{ours}.bias"), expand, "s for all features, and 0; m must be 0"
    )


def read_norm(source: Source) -> dict[str, tuple[Any, ...]]:
    """Return the kinds and the places of norms that fit the arrays."""
    if source.has(f"{LAYER}.norm.norm.running_mean"):
        norm = (Norm.batch,)
    elif source.has(f"{LAYER}.norm.norm.**"):
        norm = (Norm.layer, Norm.group)
    else:
        return {"norm": (Norm.none, Norm.instance)}
    final = source.has("model.norm.norm.**")
    return {"norm": norm, "prenorm": (final,), "final_norm": (final,)}


def read_sizes(source: Source) -> tuple[int, int]:
    """Return the features of inputs, or number of tokens, and of outputs."""
    shape = source.shape("encoder.weight")
    return shape[1] if source.has("encoder.bias") else shape[0], source.shape("decoder.bias")[0]
