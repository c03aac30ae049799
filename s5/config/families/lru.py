"""The keys of LRU. Source: Orvieto et al. 2023 (arXiv:2303.06349)."""

from dataclasses import dataclass
from math import tau
from typing import final

from s5.config.checks import check_at_least
from s5.config.model import ModelConfig


@final
@dataclass(kw_only=True)
class LRUConfig(ModelConfig):
    """LRU: a diagonal linear recurrence in discrete time. Its initial eigenvalues are in a ring of the unit disk.

    Attributes:
        d_state: Complex states of a layer.
        r_min, r_max: Inner and outer radius of the ring.
        max_phase: Largest phase of an initial eigenvalue, in radians; small phases suit long sequences.
    """

    kind: str = "lru"
    d_state: int = 128
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = tau

    def __post_init__(self) -> None:
        """Raise ValueError if the ring is empty or not inside the unit disk, or a value is out of range."""
        super().__post_init__()
        check_at_least(1, model_d_state=self.d_state)
        if not 0 <= self.r_min < self.r_max <= 1:
            raise ValueError(f"model.r_min={self.r_min} and model.r_max={self.r_max} must be 0 <= r_min < r_max <= 1")
        if not 0 < self.max_phase <= tau:
            raise ValueError(f"model.max_phase={self.max_phase} must be above 0 and at most 2 pi")
