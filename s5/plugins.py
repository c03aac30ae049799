"""What a plug-in imports to declare what it brings; see `docs/extending.md`. Free of JAX."""

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
        inputs: The sequences, (L_i, d_input) each: a list of arrays of any lengths, or one array (n, L, d_input).
        labels: The class of each, 0 to n_classes - 1; for a regression targets of every step, (L_i, n_classes) each.
    """

    inputs: Sequence[Any]
    labels: Sequence[Any]
