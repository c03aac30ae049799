"""What every model has, whatever its family. A family adds its own keys in `s5.config.families`."""

from dataclasses import dataclass
from math import isqrt

from s5.config.checks import check_at_least, check_finite
from s5.config.choices import Activation, Encoder, Head, Likelihood, Norm, Pooling, Precision, Remat, Times
from s5.config.fields import added, not_science


@dataclass(kw_only=True)
class ModelConfig:
    """The keys that all models share: abstract, since a family says which sequence layer they are made of.

    The defaults are those of the S5 repository's command line.

    Attributes:
        kind: The family. The class decides it, so it is chosen by the group (`model=s5`), never set.
        d_model: H, features of a layer.
        bn_momentum: Weight of the old statistics in batch normalisation's running averages.
        step_rescale: Factor on every step: the sampling interval of these data over that of the training data.
        remat: What the backward pass computes again: time for memory.
        encoder: What makes features of an input step.
        times: How the intervals between irregular observations enter the model.
        likelihood: What a regression answers with; data with classes have `fixed`.
    """

    kind: str
    n_layers: int = 6
    d_model: int = 128
    bidirectional: bool = False
    activation: Activation = Activation.half_glu1
    norm: Norm = Norm.batch
    prenorm: bool = True
    bn_momentum: float = 0.95
    dropout: float = 0.0
    pooling: Pooling = Pooling.mean
    step_rescale: float = added(1.0)
    precision: Precision = added(Precision.float32)  # noqa: RUF009
    remat: Remat = not_science(Remat.states)  # noqa: RUF009
    encoder: Encoder = added(Encoder.dense)  # noqa: RUF009
    times: Times = added(Times.steps)  # noqa: RUF009
    likelihood: Likelihood = added(Likelihood.fixed)  # noqa: RUF009

    def __post_init__(self) -> None:
        """Refuse values that describe no model. A family's own checks call this one first."""
        family = getattr(type(self), "kind", None)
        if family is None:
            raise TypeError("ModelConfig is abstract: choose the class of a family, such as S5Config")
        if self.kind != family:
            raise ValueError(f"model.kind={self.kind}: these are the keys of {family}, so choose model={self.kind}")
        check_finite("model", self)
        check_at_least(1, model_n_layers=self.n_layers, model_d_model=self.d_model)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout={self.dropout} must lie in [0, 1)")
        if not 0 <= self.bn_momentum < 1:
            raise ValueError(f"model.bn_momentum={self.bn_momentum} must lie in [0, 1)")
        if self.step_rescale <= 0:
            raise ValueError(f"model.step_rescale={self.step_rescale} must be positive")

    def check_fits(self, d_input: int, head: Head, *, tokens: bool = False, times: bool = True) -> None:
        """Refuse data that such a model cannot read.

        Args:
            d_input: Features of an input step, or the number of different tokens.
            head: What the data ask of a model.
            tokens: Whether a step is a token.
            times: Whether it is known when each step was observed.

        Raises:
            ValueError: Naming the key.
        """
        if self.encoder is Encoder.picture and tokens:
            raise ValueError("model.encoder=picture: a step must be a square picture, and it is a token")
        if self.encoder is Encoder.picture and picture_side(d_input) is None:
            raise ValueError(
                "model.encoder=picture: a step must be a square picture whose side is a multiple of 8, and it has "
                f"{d_input} feature{'s' * (d_input != 1)}"
            )
        if self.times is Times.append and tokens:
            raise ValueError("model.times=append: a step must have features that a time can join, and it is a token")
        if self.times is not Times.steps and not times:
            raise ValueError(
                f"model.times={self.times.name}: all intervals of these data are 1, and nothing else is known"
            )
        if self.likelihood is Likelihood.gaussian and not head.per_step:
            raise ValueError(f"model.likelihood=gaussian: only a regression has one, and this is a {head.name}")


def picture_side(n_pixels: int) -> int | None:
    """Return the side of a square picture that `model.encoder=picture` reads, or None if there is no such square."""
    side = isqrt(n_pixels)
    return side if side and side * side == n_pixels and side % 8 == 0 else None
