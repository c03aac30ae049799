"""The keys of S4. Source: Gu et al. 2022 (arXiv:2111.00396) and the code of its repository."""

from dataclasses import dataclass
from typing import ClassVar, final

from s5.config.checks import check_at_least
from s5.config.choices import Discretization, Measure
from s5.config.fields import added
from s5.config.model import ModelConfig

_DIAGONAL = (Measure.legsd, Measure.foud)


@final
@dataclass(kw_only=True)
class S4Config(ModelConfig):
    """S4: each feature has a state space model of its own, whose state matrix is diagonal plus low rank.

    Attributes:
        d_state: N, states of a feature before conjugate symmetry halves their number.
        measure: The HiPPO operator that the state matrix begins as; it decides the rank of the low-rank part.
        n_ssm: Number of different state and input matrices, which the features share in turn; None for one per feature.
        dt_min, dt_max: Range of the initial step sizes, which are drawn log-uniformly.
        dt_tie: Whether all features share one step size.
        late_backward: Whether the second direction begins one step late, as in the S4 repository: it reads the steps
            after a step, and not the step itself.
    """

    takes_times: ClassVar[bool] = False

    kind: str = "s4"
    d_state: int = 64
    measure: Measure = Measure.legs
    n_ssm: int | None = 1
    discretization: Discretization = Discretization.bilinear
    dt_min: float = 1e-3
    dt_max: float = 1e-1
    dt_tie: bool = False
    late_backward: bool = added(False)

    def __post_init__(self) -> None:
        """Raise ValueError if the measure has no low-rank part, or a size or the range of step sizes is not valid."""
        super().__post_init__()
        check_at_least(1, model_d_state=self.d_state, model_n_ssm=self.n_ssm)
        if self.d_state % 2:
            raise ValueError(f"model.d_state={self.d_state} must be even: one state represents a conjugate pair")
        if self.late_backward and not self.bidirectional:
            raise ValueError("model.late_backward=true: there is no second direction; set model.bidirectional=true")
        if self.n_ssm is not None and self.d_model % self.n_ssm:
            raise ValueError(f"model.d_model={self.d_model} is not divisible by model.n_ssm={self.n_ssm}")
        if self.measure in _DIAGONAL or self.measure is Measure.lmu:
            why = "no known low-rank part" if self.measure is Measure.lmu else "a diagonal state matrix, without P"
            fits = ", ".join(one.name for one in Measure if one not in (*_DIAGONAL, Measure.lmu))
            raise ValueError(f"model.measure={self.measure.name} has {why}; S4 can begin as {fits}")
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(
                f"model.dt_min={self.dt_min} must be above 0 and at most model.dt_max={self.dt_max}; set both"
            )
