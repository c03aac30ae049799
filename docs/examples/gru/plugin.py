"""A plug-in with a model family: a gated recurrent unit. `model=gru` chooses it for any task."""

from dataclasses import dataclass

from s5.plugins import ModelConfig, Plugin, PluginFamily


@dataclass(kw_only=True)
class GRUConfig(ModelConfig):
    """GRU: a gated recurrent unit whose state has the width of the layer."""

    kind: str = "gru"


def mixer() -> type:
    """Return the layer class; JAX is imported in this function, since the launcher imports this module without JAX."""
    from .mixer import GRU

    return GRU


PLUGIN = Plugin(families=(PluginFamily(config=GRUConfig, mixer=mixer),))
