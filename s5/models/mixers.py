"""Which sequence mixer each family of models is made of."""

from s5.config import families
from s5.config.families import LRUConfig, S5Config
from s5.config.model import ModelConfig
from s5.nn.sequence_mixer import SequenceMixer
from s5.ssm.lru import LRU
from s5.ssm.s5 import S5SSM

MIXERS: dict[str, type[SequenceMixer]] = {S5Config.kind: S5SSM, LRUConfig.kind: LRU}


def register_family(config: type[ModelConfig], mixer: type[SequenceMixer]) -> None:
    """Add a family: its keys, and the sequence mixer that they describe.

    The launcher, which is free of JAX, needs the keys only: `s5.config.families.register_family`.

    Args:
        config: The family's configuration class.
        mixer: What `mixer.from_config(config, rng)` builds a layer with.

    Raises:
        ValueError: If another family has this name.
    """
    families.register_family(config)
    MIXERS[config.kind] = mixer
