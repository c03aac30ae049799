"""A model family of one's own: a gated recurrent unit. `model=gru` chooses it for any task."""

from dataclasses import dataclass

from s5.plugins import ModelConfig, Plugin, PluginFamily


@dataclass(kw_only=True)
class GRUConfig(ModelConfig):
    """GRU: a gated recurrent unit whose state has the width of the layer."""

    kind: str = "gru"


def mixer() -> type:
    """Return the layer; JAX is imported here, so that the launcher stays free of it."""
    from .mixer import GRU

    return GRU


PLUGIN = Plugin(families=(PluginFamily(config=GRUConfig, mixer=mixer),))
