"""The section `model` of the configuration: the keys of all families. `s5.config.families` has those of each family."""

from dataclasses import dataclass
from math import isqrt
from typing import ClassVar

from s5.config.checks import check_at_least, check_at_most, check_finite, take_names
from s5.config.choices import (
    Activation,
    Encoder,
    Gelu,
    Head,
    LayerPooling,
    Likelihood,
    Norm,
    Pooling,
    Precision,
    Remat,
    Residual,
    Times,
)
from s5.config.fields import added, not_science

# Far beyond any machine. Without these limits such a model fails in an allocation, after minutes in which it hears no
# signal. A layer of each family has at least `d_model` times `d_state` parameters.
_MOST_LAYERS = 10_000
_MOST_FEATURES = 2**20
_MOST_PARAMETERS = 2**40


@dataclass(kw_only=True)
class ModelConfig:
    """The keys that all models share. The class is abstract: the class of a family decides the kind of layer.

    The defaults are those of the S5 repository's command line.

    Attributes:
        kind: The name of the family. It belongs to the class: choose it with `model=s5`, never set it.
        n_layers: Layers of the model.
        d_model: H, features of a layer.
        bidirectional: Whether each layer also reads the sequence backwards.
        prenorm: Whether a layer normalises its input; else its output, after the skip connection.
        final_norm: Whether the output of the last layer is normalised too, as in the S4 repository if `prenorm`.
        bn_momentum: Weight of the old statistics in batch normalisation's running averages.
        gate: The width of the multiplicative branch, in units of `d_model`: a dense layer of the mixer's inputs
            multiplies the gelu before `full_glu` or `gelu_dense`; None for no branch.
        norm_groups: Groups of features of `norm=group`.
        dropout: The share of features that training sets to zero.
        dropout_tied: Whether these are the same ones at all steps of a sequence.
        drop_path: The share of sequences that skip a layer in training, the same in all layers (stochastic depth).
        layer_pooling_size: Neighbouring steps that `layer_pooling` reduces to one.
        step_rescale: Factor on the step sizes: the sampling interval of these data over that of the training data.
        remat: The activations that the backward pass recomputes, which takes time and saves memory.
        encoder: The encoder of an input step.
        times: The use of the intervals between irregular observations.
        likelihood: The output of a regression for each step; `fixed` for data with classes.
        takes_times: Whether the layers of the family can use the intervals between irregular observations.
    """

    takes_times: ClassVar[bool] = True

    kind: str
    n_layers: int = 6
    d_model: int = 128
    bidirectional: bool = False
    activation: Activation = Activation.half_glu1
    gelu: Gelu = added(Gelu.tanh)  # noqa: RUF009
    gate: int | None = added(None)
    norm: Norm = Norm.batch
    norm_groups: int = added(1)
    prenorm: bool = True
    final_norm: bool = added(False)
    bn_momentum: float = 0.95
    residual: Residual = added(Residual.plain)  # noqa: RUF009
    dropout: float = 0.0
    dropout_tied: bool = added(True)
    drop_path: float = added(0.0)
    layer_pooling: LayerPooling = added(LayerPooling.none)  # noqa: RUF009
    layer_pooling_size: int = added(2)
    pooling: Pooling = Pooling.mean
    step_rescale: float = added(1.0)
    precision: Precision = added(Precision.float32)  # noqa: RUF009
    remat: Remat = not_science(Remat.states)  # noqa: RUF009
    encoder: Encoder = added(Encoder.dense)  # noqa: RUF009
    times: Times = added(Times.steps)  # noqa: RUF009
    likelihood: Likelihood = added(Likelihood.fixed)  # noqa: RUF009

    def __post_init__(self) -> None:
        """Raise ValueError if a value is out of range. The `__post_init__` of a family calls this one first."""
        family = getattr(type(self), "kind", None)
        if family is None:
            raise TypeError("ModelConfig is abstract: choose the class of a family, such as S5Config")
        if self.kind != family:
            raise ValueError(f"model.kind={self.kind}: the other keys are those of {family}; choose model={self.kind}")
        take_names("model", self)
        check_finite("model", self)
        check_at_least(1, model_n_layers=self.n_layers, model_d_model=self.d_model)
        self._check_size()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout={self.dropout} must be at least 0 and below 1")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"model.drop_path={self.drop_path} must be at least 0 and below 1")
        if self.drop_path and self.residual is Residual.none:
            raise ValueError(
                f"model.drop_path={self.drop_path}: with model.residual=none a sequence that skips a layer becomes all "
                "zeros; choose another model.residual"
            )
        self._check_norm()
        check_at_least(1, model_gate=self.gate)
        if self.gate is not None and self.activation not in (Activation.full_glu, Activation.gelu_dense):
            raise ValueError(
                f"model.gate={self.gate}: model.activation={self.activation.name} has no dense layer that reads the "
                "product; choose full_glu or gelu_dense"
            )
        check_at_least(2, model_layer_pooling_size=self.layer_pooling_size)
        if not 0 <= self.bn_momentum < 1:
            raise ValueError(f"model.bn_momentum={self.bn_momentum} must be at least 0 and below 1")
        if self.step_rescale <= 0:
            raise ValueError(f"model.step_rescale={self.step_rescale} must be positive")

    def _check_size(self) -> None:
        check_at_most(_MOST_LAYERS, model_n_layers=self.n_layers)
        check_at_most(_MOST_FEATURES, model_d_model=self.d_model)
        d_state = getattr(self, "d_state", 1)  # of most families; a family of a plug-in may have no states
        if isinstance(d_state, int) and self.n_layers * self.d_model * d_state > _MOST_PARAMETERS:
            count = self.n_layers * self.d_model * d_state
            raise ValueError(
                f"model.d_state={d_state} with model.d_model={self.d_model} and model.n_layers={self.n_layers} needs "
                f"more than {count:,} parameters; at most 2^40 are allowed"
            )

    def _check_norm(self) -> None:
        if self.final_norm and (self.norm is Norm.none or not self.prenorm):
            key = "model.norm=none" if self.norm is Norm.none else "model.prenorm=false"
            why = "there is no norm" if self.norm is Norm.none else "the last layer normalises its output"
            raise ValueError(f"model.final_norm=true: with {key} {why}; choose model.final_norm=false")
        check_at_least(1, model_norm_groups=self.norm_groups)
        if self.norm_groups > 1 and self.norm is not Norm.group:
            raise ValueError(
                f"model.norm_groups={self.norm_groups}: model.norm={self.norm.name} has no groups; choose "
                "model.norm=group"
            )
        if self.d_model % self.norm_groups:
            raise ValueError(f"model.d_model={self.d_model} is not divisible by model.norm_groups={self.norm_groups}")

    def no_stream(self) -> str | None:
        """Return why the model cannot process a stream, naming the key, or None; the mixer has reasons of its own."""
        if self.norm in (Norm.instance, Norm.group):
            return (
                f"model.norm={self.norm.name} has no streaming form: its statistics need all steps of a sequence; "
                "model.norm=layer and model.norm=batch have one"
            )
        if self.layer_pooling is not LayerPooling.none:
            return (
                f"model.layer_pooling={self.layer_pooling.name} has no streaming form: a window's answer needs all its "
                "steps; choose model.layer_pooling=none"
            )
        return None

    def check_fits(self, d_input: int, head: Head, *, tokens: bool = False, times: bool | None = None) -> None:
        """Raise ValueError if the model cannot read some data; the message names the key.

        Args:
            d_input: Features of an input step, or the number of different tokens.
            head: The head that the data require.
            tokens: Whether a step is a token.
            times: Whether the data have a time for each step; None if this is not known.
        """
        if self.encoder is Encoder.picture and tokens:
            raise ValueError("model.encoder=picture: a step must be a square picture, but here a step is a token")
        if self.encoder is Encoder.picture and picture_side(d_input) is None:
            raise ValueError(
                "model.encoder=picture: a step must be a square picture whose side is a multiple of 8, but here a step "
                f"has {d_input} feature{'s' * (d_input != 1)}"
            )
        if self.times is Times.append and tokens:
            raise ValueError("model.times=append: a step must have features, but here a step is a token")
        if self.times is not Times.steps and times is False:
            raise ValueError(
                f"model.times={self.times.name}: all intervals of these data are 1; choose model.times=steps"
            )
        if self.times is Times.steps and times and not self.takes_times:
            raise ValueError(
                f"model.times=steps: the family {self.kind} needs regular steps, and each step of these data has a "
                "time; choose model.times=append or model.times=ignore"
            )
        if self.layer_pooling is not LayerPooling.none and head.per_step:
            raise ValueError(
                f"model.layer_pooling={self.layer_pooling.name}: shortens the sequences, but a {head.name} has an "
                "answer for each step; choose model.layer_pooling=none"
            )
        if self.likelihood is Likelihood.gaussian and not head.per_step:
            raise ValueError(f"model.likelihood=gaussian: needs a regression, but this data set is for {head.name}")

    def check_length(self, length: int, rate: float = 1.0) -> None:
        """Raise ValueError if sequences of regular steps are too long for the model; a family may have a limit.

        Args:
            length: Steps of the longest sequence.
            rate: Factor on every step, as in `Steps`.
        """


def picture_side(n_pixels: int) -> int | None:
    """Return the side of a square picture that `model.encoder=picture` reads, or None if there is no such square."""
    side = isqrt(n_pixels)
    return side if side and side * side == n_pixels and side % 8 == 0 else None
