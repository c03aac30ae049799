"""The keys of DSS. Source: Gupta et al. 2022 (arXiv:2203.14343) and the configurations of its repository."""

from dataclasses import dataclass
from math import ceil
from typing import final

from s5.config.checks import check_at_least
from s5.config.choices import DSSVersion
from s5.config.model import ModelConfig


@final
@dataclass(kw_only=True)
class DSSConfig(ModelConfig):
    """DSS: each feature has a diagonal state space model of one input and output, and all have the same eigenvalues.

    Attributes:
        d_state: N, complex states of a feature.
        version: What keeps the states in range.
        scale: Whether the kernel has the factor of a zero-order hold. `softmax` always has it.
        l_max: Steps over which `softmax` normalises, at least the length of the sequences; the other versions do not
            use it.
        sep_dt_re_im: Whether the real and the imaginary parts of the eigenvalues have step sizes of their own.
        dt_min, dt_max: Range of the initial step sizes, which are drawn log-uniformly.
    """

    kind: str = "dss"
    d_state: int = 64
    version: DSSVersion = DSSVersion.softmax
    scale: bool = True
    l_max: int = 1024
    sep_dt_re_im: bool = True
    dt_min: float = 1e-3
    dt_max: float = 1e-1

    def __post_init__(self) -> None:
        """Raise ValueError if `softmax` has no scale, or a value is out of range."""
        super().__post_init__()
        check_at_least(1, model_d_state=self.d_state, model_l_max=self.l_max)
        if not self.scale and self.version is DSSVersion.softmax:
            raise ValueError("model.scale=false: model.version=softmax always has the scale; choose another version")
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(
                f"model.dt_min={self.dt_min} must be above 0 and at most model.dt_max={self.dt_max}; set both"
            )

    def check_length(self, length: int, rate: float = 1.0) -> None:
        """Raise ValueError if sequences are longer than the window of `softmax`."""
        steps = ceil(length * self.step_rescale * rate)
        if self.version is DSSVersion.softmax and steps > self.l_max:
            raise ValueError(
                f"model.l_max={self.l_max}: model.version=softmax normalises over this many steps, but the sequences "
                f"have {steps}; train with model.l_max={steps} or more, or with model.version=exp"
            )
