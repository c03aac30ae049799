"""Which sequence mixer each family of models is made of."""

from s5.config.choices import ModelKind
from s5.nn.sequence_mixer import SequenceMixer
from s5.ssm.s5 import S5SSM

MIXERS: dict[ModelKind, type[SequenceMixer]] = {ModelKind.s5: S5SSM}
