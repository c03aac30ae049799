"""The keys of LinOSS. Source: Rusch and Rus 2024 (arXiv:2410.03943), Boyer et al. 2025 (arXiv:2505.12171)."""

from dataclasses import dataclass
from math import pi
from typing import final

from s5.config.checks import check_at_least
from s5.config.choices import LinOSSDiscretization
from s5.config.model import ModelConfig


@final
@dataclass(kw_only=True)
class LinOSSConfig(ModelConfig):
    """LinOSS: each layer is a set of oscillators that the inputs drive; D-LinOSS with `damping`.

    Attributes:
        d_state: P, oscillators of a layer.
        damping: Whether each oscillator learns how fast it decays (D-LinOSS); needs `imex`.
        r_min, r_max: With damping, the range of the initial moduli of the eigenvalues: how much of a state is left
            after a step.
        max_phase: With damping, the largest phase of an initial eigenvalue, in radians; small phases are slow
            oscillations.
    """

    kind: str = "linoss"
    d_state: int = 64
    discretization: LinOSSDiscretization = LinOSSDiscretization.im
    damping: bool = False
    r_min: float = 0.9
    r_max: float = 1.0
    max_phase: float = pi

    def __post_init__(self) -> None:
        """Raise ValueError if the discretization cannot be damped, or a value is out of range."""
        super().__post_init__()
        check_at_least(1, model_d_state=self.d_state)
        if self.damping and self.discretization is not LinOSSDiscretization.imex:
            raise ValueError(
                f"model.damping=true: needs model.discretization=imex, not {self.discretization.name}, whose states "
                "decay by themselves"
            )
        if not 0 < self.r_min < self.r_max <= 1:
            raise ValueError(f"model.r_min={self.r_min} and model.r_max={self.r_max} must be 0 < r_min < r_max <= 1")
        if not 0 < self.max_phase <= pi:
            raise ValueError(f"model.max_phase={self.max_phase} must be above 0 and at most pi")
