"""The keys of LSSL. Source: Gu et al. 2021 (arXiv:2110.13985) and the code of its repository."""

from dataclasses import dataclass
from typing import ClassVar, final

from s5.config.checks import check_at_least
from s5.config.choices import FOURIER, TRIDIAGONAL, Measure
from s5.config.model import ModelConfig


@final
@dataclass(kw_only=True)
class LSSLConfig(ModelConfig):
    """LSSL: each feature has a state space model of its own; all have the same dense state matrix, a HiPPO operator.

    Attributes:
        d_state: N, states of a feature.
        measure: The HiPPO operator that the state matrix is, or begins as.
        learn: Whether the state matrix, the input vector and the step sizes are trained; else they stay as they begin.
        channels: Outputs of a feature. More than one pass through a gelu and a dense matrix back to `d_model` features.
        alpha: The weight of a step's end in the discretization: 0.5 for the trapezoidal rule, 1 for backward Euler.
        dt_min, dt_max: Range of the initial step sizes, which are drawn log-uniformly.
    """

    takes_times: ClassVar[bool] = False

    kind: str = "lssl"
    d_state: int = 64
    measure: Measure = Measure.legs
    learn: bool = False
    channels: int = 1
    alpha: float = 0.5
    dt_min: float = 1e-3
    dt_max: float = 1e-1

    def __post_init__(self) -> None:
        """Raise ValueError if the measure does not fit, or a value is out of range."""
        super().__post_init__()
        check_at_least(1, model_d_state=self.d_state, model_channels=self.channels)
        if self.measure in FOURIER and self.d_state % 2:
            raise ValueError(f"model.d_state={self.d_state} must be even: model.measure={self.measure.name} has pairs")
        if self.learn and self.measure not in TRIDIAGONAL:
            fits = ", ".join(one.name for one in Measure if one in TRIDIAGONAL)
            raise ValueError(
                f"model.measure={self.measure.name} cannot be trained as the inverse of a tridiagonal matrix; choose "
                f"model.learn=false, or one of {fits}"
            )
        if not 0 < self.alpha <= 1:
            raise ValueError(f"model.alpha={self.alpha} must be above 0 and at most 1")
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(
                f"model.dt_min={self.dt_min} must be above 0 and at most model.dt_max={self.dt_max}; set both"
            )
