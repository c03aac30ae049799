"""A data set in memory: splits of equal-shaped examples, stored small and scaled batch by batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32, Shaped

from s5.catalog import DatasetInfo
from s5.config.choices import Head


@dataclass(frozen=True, kw_only=True)
class Split:
    """The examples of one split. An example of a retrieval is a pair of documents: axis 1 of inputs and lengths.

    Attributes:
        inputs: Sequences as they are stored; pixels stay uint8 until a batch is made of them.
        labels: The class of each; for a regression float32 targets of every step, (n, L, d_output).
        lengths: How many steps of each are valid; the rest is padding.
        full_scale: The difference from `offset` that becomes 1.0 in a batch; one for all features, or one for each.
        offset: The stored value that becomes 0.0 in a batch.
        tokens: Whether inputs are whole numbers that stand for tokens: they stay what they are, one feature of a step,
            and the encoder treats them as one-hot vectors of the data set's `d_input`.
        rows: Which rows of `inputs` the examples are, if a split is scattered over a mapped file; None for all.
        times: When each step was observed, in units of the regular interval; None if all intervals are 1.
    """

    inputs: Shaped[np.ndarray, "rows *documents L d_stored"]
    labels: Shaped[np.ndarray, "n ..."]
    lengths: Int32[np.ndarray, " n *documents"]
    full_scale: float | Float32[np.ndarray, " d_stored"] = 1.0
    offset: float | Float32[np.ndarray, " d_stored"] = 0.0
    tokens: bool = False
    rows: Int[np.ndarray, " n"] | None = None
    times: Float32[np.ndarray, "n L"] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set.

    Attributes:
        n_classes: Classes; for a regression the features of a target.
        length: L, steps of a sequence.
        d_input: Features of a step, or different tokens.
        splits: `train`, `val` and `test`.
        head: What a model returns for an example, and so how it is scored.
        vocabulary: What its tokens stand for, by a name that no other numbering of symbols has; empty if none.
    """

    name: str
    n_classes: int
    length: int
    d_input: int
    splits: Mapping[str, Split]
    head: Head = Head.classification
    vocabulary: str = ""

    @classmethod
    def of(
        cls, info: DatasetInfo, splits: Mapping[str, Split], d_input: int | None = None, *, vocabulary: str = ""
    ) -> "Dataset":
        """Return the data set of a catalog's entry.

        Args:
            info: The entry.
            splits: Its splits.
            d_input: Different tokens, where the files have decided; None for what the entry says.
            vocabulary: What its tokens stand for.
        """
        assert bool(vocabulary) == info.tokens, f"{info.name}: tokens have a vocabulary, and features none"
        # Before a run starts the launcher has only the entry to go by.
        for name, split in splits.items():
            loaded = {"tokens": split.tokens, "times": split.times is not None}
            said = {"tokens": info.tokens, "times": info.times}
            assert loaded == said, f"{info.name}, {name}: the catalog says {said}, and it is {loaded}"
        return cls(
            name=info.name,
            n_classes=info.n_classes,
            length=info.length,
            d_input=info.d_input if d_input is None else d_input,
            splits=splits,
            head=info.head,
            vocabulary=vocabulary,
        )
