"""The keys of S4D. Source: Gu et al. 2022 (arXiv:2206.11893) and the configurations of its repository."""

from dataclasses import dataclass
from typing import final

from s5.config.checks import check_at_least
from s5.config.choices import Discretization, S4DInit
from s5.config.model import ModelConfig


@final
@dataclass(kw_only=True)
class S4DConfig(ModelConfig):
    """S4D: each feature has its own diagonal state space model, with one input and one output.

    Attributes:
        d_state: N, states of a feature; one of each conjugate pair is stored.
        init: The initial eigenvalues.
        n_ssm: Number of different eigenvalues and B, which the features share; None for one per feature.
        dt_tie: Whether all states of a feature have the same step size.
        dt_min, dt_max: Range of the initial step sizes, which are drawn log-uniformly.
        bandlimit: States with this many times the highest frequency that the steps can represent, or more, are silent;
            None to keep all.
    """

    kind: str = "s4d"
    d_state: int = 64
    init: S4DInit = S4DInit.legs
    discretization: Discretization = Discretization.zoh
    n_ssm: int | None = None
    dt_tie: bool = True
    dt_min: float = 1e-3
    dt_max: float = 1e-1
    bandlimit: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if the states are not pairs, the features cannot share them, or a value is out of range."""
        super().__post_init__()
        check_at_least(2, model_d_state=self.d_state)
        check_at_least(1, model_n_ssm=self.n_ssm)
        if self.d_state % 2:
            raise ValueError(f"model.d_state={self.d_state} must be even, since states are conjugate pairs")
        if self.n_ssm is not None and self.d_model % self.n_ssm:
            raise ValueError(f"model.d_model={self.d_model} is not divisible by model.n_ssm={self.n_ssm}")
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(
                f"model.dt_min={self.dt_min} must be above 0 and at most model.dt_max={self.dt_max}; set both"
            )
        if self.bandlimit is not None and self.bandlimit <= 0:
            raise ValueError(f"model.bandlimit={self.bandlimit} must be positive; null keeps all states")
