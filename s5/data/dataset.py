"""A loaded data set: splits of examples of equal shape. Values are stored as small types and scaled in each batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32, Shaped

from s5.catalog import DatasetInfo
from s5.config.choices import Head


@dataclass(frozen=True, kw_only=True)
class Split:
    """The examples of one split. For retrieval an example is a pair of documents, along axis 1 of inputs and lengths.

    Attributes:
        inputs: Sequences as stored; pixels stay uint8 until they are copied into a batch.
        labels: The class of each example; for a regression float32 targets for every step, (n, L, d_output).
        lengths: Valid steps of each sequence; the rest is padding.
        full_scale: The difference from `offset` that becomes 1.0 in a batch: one number, or a number for each feature.
        offset: The stored value that becomes 0.0 in a batch: one number, or a number for each feature.
        tokens: Whether inputs are token numbers, which are not scaled. The encoder reads them as one-hot vectors of
            length `d_input`.
        rows: The row of `inputs` of each example; None if row i is example i.
        times: Time of each step, in units of the regular interval; None if all intervals are 1.
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
        n_classes: Number of classes; for a regression, features of a target.
        length: L, steps of a sequence.
        d_input: Features of a step, or number of different tokens.
        splits: `train`, `val` and `test`.
        head: The head that a model needs; it also decides the scores.
        vocabulary: A unique name of the mapping from tokens to symbols; empty without tokens.
        class_names: The names of the classes, in the order of their numbers; empty without names.
    """

    name: str
    n_classes: int
    length: int
    d_input: int
    splits: Mapping[str, Split]
    head: Head = Head.classification
    vocabulary: str = ""
    class_names: tuple[str, ...] = ()

    @classmethod
    def from_info(
        cls, info: DatasetInfo, splits: Mapping[str, Split], d_input: int | None = None, *, vocabulary: str = ""
    ) -> "Dataset":
        """Return the data set of a catalog entry.

        Args:
            info: The entry.
            splits: The splits.
            d_input: Number of different tokens, if it depends on the files; None for the number of the entry.
            vocabulary: The name of the mapping from tokens to symbols; empty without tokens.
        """
        assert bool(vocabulary) == info.tokens, f"{info.name}: tokens have a vocabulary, features do not"
        # The launcher checks a config only against the entry, so the entry must agree with the files.
        for name, split in splits.items():
            loaded = {"tokens": split.tokens, "times": split.times is not None}
            said = {"tokens": info.tokens, "times": info.times}
            assert loaded == said, f"{info.name}, {name}: the catalog says {said}, the files say {loaded}"
        return cls(
            name=info.name,
            n_classes=info.n_classes,
            length=info.length,
            d_input=info.d_input if d_input is None else d_input,
            splits=splits,
            head=info.head,
            vocabulary=vocabulary,
        )
