"""Which sequence mixer each family of models is made of."""

import inspect
from collections.abc import Callable
from typing import cast

import numpy as np

from s5.config import families
from s5.config.families import LRUConfig, S5Config
from s5.config.model import ModelConfig
from s5.config.plugins import plugin_mixer
from s5.nn.sequence_mixer import SequenceMixer
from s5.ssm.lru import LRU
from s5.ssm.s5 import S5SSM

MIXERS: dict[str, type[SequenceMixer]] = {S5Config.kind: S5SSM, LRUConfig.kind: LRU}


def make_mixer(config: ModelConfig, rng: np.random.Generator) -> SequenceMixer:
    """Build the mixer that a model's configuration describes: its arguments are keys of the configuration.

    Args:
        config: The configuration, of the family's own class.
        rng: What the mixer's constructor takes as `rngs`.
    """
    mixer = MIXERS.get(config.kind) or plugin_mixer(config.kind)
    assert mixer is not None, f"{config.kind}: a family without layers"
    names = inspect.signature(mixer.__init__).parameters.keys() - {"self", "rngs"}
    build = cast(Callable[..., SequenceMixer], mixer)
    return build(**{name: getattr(config, name) for name in names}, rngs=rng)


def register_family(config: type[ModelConfig], mixer: type[SequenceMixer]) -> None:
    """Add a family: its keys, and the sequence mixer that they describe.

    The launcher, which is free of JAX, needs the keys only: `s5.config.families.register_family`.

    Args:
        config: The family's configuration class.
        mixer: The class of its layers; the arguments of its constructor are `rngs` and keys of the configuration.

    Raises:
        ValueError: If another family has this name.
    """
    families.register_family(config)
    MIXERS[config.kind] = mixer
