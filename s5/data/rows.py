"""Splits of memory-mapped arrays: consecutive rows, or rows with given numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from s5.data.cache import Arrays
from s5.data.dataset import Split


def contiguous_splits(sizes: Mapping[str, int], arrays: Arrays, **scale: Any) -> dict[str, Split]:
    """Return splits that are consecutive rows of the arrays.

    Args:
        sizes: Examples per split, in the order of the rows.
        arrays: `inputs`, which stay mapped, `labels`, and `lengths`; without `lengths` all steps are valid.
        scale: Further fields of every split, such as `full_scale`.
    """
    ends, lengths = np.cumsum(list(sizes.values())), _lengths(arrays)
    return {
        name: Split(
            inputs=arrays["inputs"][end - size : end],
            labels=np.array(arrays["labels"][end - size : end]),
            lengths=np.array(lengths[end - size : end]),
            **scale,
        )
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def indexed_splits(parts: Mapping[str, Int[np.ndarray, " some"]], arrays: Arrays, **scale: Any) -> dict[str, Split]:
    """Return splits of given rows of the arrays; the inputs are not copied.

    Args:
        parts: The numbers of the rows of each split.
        arrays: `inputs`, which stay mapped, `labels`, and `lengths`; without `lengths` all steps are valid.
        scale: Further fields of every split, such as `full_scale`.
    """
    labels, lengths = np.asarray(arrays["labels"]), _lengths(arrays)
    return {
        name: Split(inputs=arrays["inputs"], labels=labels[rows], lengths=lengths[rows], rows=rows, **scale)
        for name, rows in parts.items()
    }


def _lengths(arrays: Arrays) -> np.ndarray:
    inputs = arrays["inputs"]
    return np.asarray(arrays["lengths"]) if "lengths" in arrays else np.full(len(inputs), inputs.shape[-2], np.int32)
