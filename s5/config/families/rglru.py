"""The keys of RG-LRU. Source: De et al. 2024 (arXiv:2402.19427)."""

from dataclasses import dataclass
from typing import final

from s5.config.checks import check_at_least
from s5.config.model import ModelConfig


@final
@dataclass(kw_only=True)
class RGLRUConfig(ModelConfig):
    """RG-LRU: a diagonal recurrence of real states whose forgetting and whose inputs depend on the input of each step.

    Attributes:
        d_state: States of a layer.
        n_blocks: Blocks of the matrices that compute the gates.
        r_min, r_max: Range of the initial factors of the states at a step whose gate is open.
    """

    kind: str = "rglru"
    d_state: int = 128
    n_blocks: int = 8
    r_min: float = 0.9
    r_max: float = 0.999

    def __post_init__(self) -> None:
        """Raise ValueError if the states cannot be divided into blocks, or the range of factors is not valid."""
        super().__post_init__()
        check_at_least(1, model_d_state=self.d_state, model_n_blocks=self.n_blocks)
        if self.d_state % self.n_blocks:
            raise ValueError(f"model.d_state={self.d_state} is not divisible by model.n_blocks={self.n_blocks}")
        if not 0 < self.r_min <= self.r_max < 1:
            raise ValueError(f"model.r_min={self.r_min} and model.r_max={self.r_max} must be 0 < r_min <= r_max < 1")
