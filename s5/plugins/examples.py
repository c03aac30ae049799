"""What the `load` of a plug-in's data set returns."""

from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Labelled sequences.

    Attributes:
        inputs: A list of sequences, each an array of shape (L_i, d_input); or one array of shape (n, L, d_input).
        labels: The class of each sequence: 0 to n_classes - 1, or one of the `class_names`. For a regression the
            targets of each sequence, an array of shape (L_i, n_classes).
        names: The name of each sequence, such as its file; empty without names. Messages about a sequence contain its
            name. Names are not stored, and change neither data nor results.
    """

    inputs: Collection[Any]
    labels: Collection[Any]
    names: Collection[str | PathLike[str]] = ()
