"""Which sequence mixer each family of models is made of."""

from s5.config.families import S5Config
from s5.nn.sequence_mixer import SequenceMixer
from s5.ssm.s5 import S5SSM

MIXERS: dict[str, type[SequenceMixer]] = {S5Config.kind: S5SSM}
