"""The table of model families and their sequence mixers."""

import inspect
from collections.abc import Callable
from typing import cast

import numpy as np

from s5.config import families
from s5.config.families import (
    DSSConfig,
    LinOSSConfig,
    LRUConfig,
    LSSLConfig,
    RGLRUConfig,
    S4Config,
    S4DConfig,
    S5Config,
)
from s5.config.model import ModelConfig
from s5.config.plugins import plugin_mixer
from s5.nn.sequence_mixer import SequenceMixer
from s5.ssm.dss import DSS
from s5.ssm.linoss import LinOSS
from s5.ssm.lru import LRU
from s5.ssm.lssl import LSSL
from s5.ssm.rglru import RGLRU
from s5.ssm.s4 import S4
from s5.ssm.s4d import S4D
from s5.ssm.s5 import S5SSM

MIXERS: dict[str, type[SequenceMixer]] = {
    S5Config.kind: S5SSM,
    S4Config.kind: S4,
    S4DConfig.kind: S4D,
    DSSConfig.kind: DSS,
    LRUConfig.kind: LRU,
    RGLRUConfig.kind: RGLRU,
    LinOSSConfig.kind: LinOSS,
    LSSLConfig.kind: LSSL,
}


def make_mixer(config: ModelConfig, rng: np.random.Generator) -> SequenceMixer:
    """Build the sequence mixer of a model family; its arguments are the configuration's values of the same names.

    Args:
        config: The model's configuration, an instance of the family's class.
        rng: Draws the initial values; the constructor's argument `rngs`.
    """
    mixer = MIXERS.get(config.kind) or plugin_mixer(config.kind)
    assert mixer is not None, f"{config.kind}: this model family has no sequence mixer"
    names = inspect.signature(mixer.__init__).parameters.keys() - {"self", "rngs"}
    build = cast(Callable[..., SequenceMixer], mixer)
    return build(**{name: getattr(config, name) for name in names}, rngs=rng)


def register_family(config: type[ModelConfig], mixer: type[SequenceMixer]) -> None:
    """Register a model family: its configuration class and its sequence mixer.

    The launcher, which does not import JAX, needs the class only: `s5.config.families.register_family`.

    Args:
        config: The family's configuration class.
        mixer: The class of its sequence mixer; the constructor takes `rngs` and keys of the configuration.

    Raises:
        ValueError: If another family has this name.
    """
    families.register_family(config)
    MIXERS[config.kind] = mixer
