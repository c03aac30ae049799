"""A data set in memory: splits of equal-shaped examples, stored small and scaled batch by batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Shaped


@dataclass(frozen=True, kw_only=True)
class Split:
    """The examples of one split.

    inputs: Sequences as they are stored; pixels stay uint8 until a batch is made of them.
    labels: The class of each.
    lengths: How many steps of each are valid; the rest is padding.
    full_scale: The stored value that becomes 1.0 in a batch.
    """

    inputs: Shaped[np.ndarray, "n L d_input"]
    labels: Int32[np.ndarray, " n"]
    lengths: Int32[np.ndarray, " n"]
    full_scale: float = 1.0

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set.

    n_classes: Classes.
    length: L, steps of a sequence.
    d_input: Features of a step.
    splits: `train`, `val` and `test`.
    """

    name: str
    n_classes: int
    length: int
    d_input: int
    splits: Mapping[str, Split]
