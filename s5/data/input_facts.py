"""How the inputs of a data set are stored and scaled: what a prediction needs of the data besides the model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Shaped

from s5.data.dataset import Dataset, Split


@dataclass(frozen=True, kw_only=True)
class InputFacts:
    """The inputs of a data set, without the examples. Checkpoints store it, so that a run predicts without its data.

    Attributes:
        length: L, steps of the longest sequence.
        d_stored: Stored values of a step; 1 for tokens.
        documents: Sizes of the axes between the examples and the steps: `(2,)` for a retrieval, else empty.
        tokens: Whether inputs are token numbers, which are not scaled.
        times: Whether every step has a time.
        offset: As of `Split`; a tuple for numbers of each feature.
        full_scale: As of `Split`.
    """

    length: int
    d_stored: int
    documents: tuple[int, ...] = ()
    tokens: bool = False
    times: bool = False
    offset: float | tuple[float, ...] = 0.0
    full_scale: float | tuple[float, ...] = 1.0

    @classmethod
    def of(cls, data: Dataset | Split) -> "InputFacts":
        """Return the facts of a data set, or of one of its splits."""
        split = data.splits["train"] if isinstance(data, Dataset) else data
        shape = split.inputs.shape
        return cls(
            length=data.length if isinstance(data, Dataset) else shape[-2],
            d_stored=shape[-1],
            documents=tuple(shape[1:-2]),
            tokens=split.tokens,
            times=split.times is not None,
            offset=_plain(split.offset),
            full_scale=_plain(split.full_scale),
        )

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "InputFacts":
        """Return the facts that `to_json` made; keys of later versions are ignored."""
        known = {one.name for one in fields(cls)}
        found: dict[str, Any] = {key: x for key, x in values.items() if key in known}
        plain: dict[str, Any] = {key: tuple(x) if isinstance(x, list) else x for key, x in found.items()}
        return cls(**plain)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain values for JSON, which keeps float32 numbers exactly."""
        return {key: list(x) if isinstance(x, tuple) else x for key, x in asdict(self).items()}

    def make_split(
        self,
        inputs: Shaped[np.ndarray, "n *documents L d_stored"],
        lengths: Int32[np.ndarray, " n *documents"],
        times: Float32[np.ndarray, "n L"] | None = None,
    ) -> Split:
        """Return given inputs as a split without labels, which is scaled as the data set is."""
        return Split(
            inputs=inputs,
            labels=np.zeros(len(inputs), np.int32),
            lengths=lengths,
            full_scale=_array(self.full_scale),
            offset=_array(self.offset),
            tokens=self.tokens,
            times=times,
        )


def _plain(value: Any) -> float | tuple[float, ...]:
    return tuple(map(float, value)) if np.ndim(value) else float(value)


def _array(value: float | tuple[float, ...]) -> float | Float32[np.ndarray, " d_stored"]:
    return np.asarray(value, np.float32) if isinstance(value, tuple) else value
