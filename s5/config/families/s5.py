"""The keys of S5. Source: Smith et al. 2023 (arXiv:2208.04933) and the command line of its repository."""

from dataclasses import dataclass
from typing import final

from s5.config.checks import check_at_least
from s5.config.choices import CInit, Discretization
from s5.config.model import ModelConfig


@final
@dataclass(kw_only=True)
class S5Config(ModelConfig):
    """S5: each layer is one diagonal state space model with many inputs and outputs.

    Attributes:
        d_state: P, states of a layer before conjugate symmetry halves their number.
        n_blocks: J, blocks of the initial state matrix.
        C_init: The distribution of the initial output matrix.
        conj_sym: Whether one stored state represents a conjugate pair.
        clip_eigs: Whether the real parts of the eigenvalues are kept at or below -1e-4, so that states stay bounded.
        dt_min, dt_max: Range of the initial step sizes, which are drawn log-uniformly.
    """

    kind: str = "s5"
    d_state: int = 256
    n_blocks: int = 8
    C_init: CInit = CInit.trunc_standard_normal
    discretization: Discretization = Discretization.zoh
    conj_sym: bool = True
    clip_eigs: bool = False
    dt_min: float = 1e-3
    dt_max: float = 1e-1

    def __post_init__(self) -> None:
        """Raise ValueError if the states cannot be divided into blocks, or the range of step sizes is not valid."""
        super().__post_init__()
        check_at_least(1, model_d_state=self.d_state, model_n_blocks=self.n_blocks)
        if self.d_state % self.n_blocks:
            raise ValueError(f"model.d_state={self.d_state} is not divisible by model.n_blocks={self.n_blocks}")
        if self.conj_sym and (self.d_state // self.n_blocks) % 2:
            raise ValueError(
                f"model.conj_sym needs blocks of even size; model.d_state={self.d_state} divided by "
                f"model.n_blocks={self.n_blocks} is {self.d_state // self.n_blocks}"
            )
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(
                f"model.dt_min={self.dt_min} must be above 0 and at most model.dt_max={self.dt_max}; set both"
            )
