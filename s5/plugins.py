"""The names that a plug-in imports to declare its data sets and families; see `docs/extending.md`. Free of JAX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s5.config.choices import Head
from s5.config.model import ModelConfig
from s5.config.plugins import Plugin, PluginDataset, PluginFamily

__all__ = ["Examples", "Head", "ModelConfig", "Plugin", "PluginDataset", "PluginFamily"]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Labelled sequences.

    Attributes:
        inputs: A list of sequences, each an array of shape (L_i, d_input); or one array of shape (n, L, d_input).
        labels: The class of each sequence: 0 to n_classes - 1, or one of the `class_names`. For a regression the
            targets of each sequence, an array of shape (L_i, n_classes).
    """

    inputs: Sequence[Any]
    labels: Sequence[Any]
