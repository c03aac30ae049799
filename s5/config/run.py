"""The configuration of one run: every field, its type, its default, and whether it changes the numbers.

The dataclasses are Hydra's structured configs, so a misspelt key or a value of the wrong type is refused before
anything starts. A field whose metadata says `science=False` (a path, a device, logging) does not change what is
measured: it is left out of the run's identity. Free of JAX, so that the launcher can read it too.
"""

from dataclasses import dataclass, field
from math import isfinite, isqrt
from typing import Any

from s5.config.choices import (
    Activation,
    CInit,
    Compat,
    Discretization,
    Encoder,
    Head,
    Likelihood,
    ModelKind,
    Norm,
    ParamGroups,
    Permutation,
    Platform,
    Pooling,
    Precision,
    Remat,
    Schedule,
    Times,
    WandbMode,
)


def _not_science(default: Any) -> Any:
    """Declare a field that does not change the numbers of a run."""
    return field(default=default, metadata={"science": False})


def _added(default: Any) -> Any:
    """Declare a field that came after runs were stored: with its default a run is what it was before."""
    return field(default=default, metadata={"added": True})


@dataclass(kw_only=True)
class DataConfig:
    """Which data, and how they are read.

    Attributes:
        name: A data set of `s5.catalog`.
        version: Which version of it; the catalog's goes up where data are made otherwise than before.
        permutation: The order of an image's pixels.
        split_seed: Seed of the split into training and validation, where the data set has no official one.
        zero_shot: A data set of the same kind on whose test split the best model is scored too, without being trained
            on it: the same recordings at another sampling rate, say; None for none.
        zero_shot_version: Which version of that.
        zero_shot_rescale: Factor on every step there: its sampling interval over that of the data trained on.
        root: Folder with the raw files; None for the catalog's default places.
        cache: Folder for converted files.
        prefetch: Batches prepared ahead.
    """

    name: str = "digits"
    version: int = _added(1)
    permutation: Permutation = Permutation.none
    split_seed: int = 42
    zero_shot: str | None = _added(None)
    zero_shot_version: int = _added(1)
    zero_shot_rescale: float = _added(1.0)
    root: str | None = _not_science(None)
    cache: str | None = _not_science(None)
    prefetch: int = _not_science(2)

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes, a negative number of batches, a factor that no step can have."""
        _finite("data", self)
        _at_least(0, data_split_seed=self.split_seed, data_prefetch=self.prefetch)
        _at_least(1, data_version=self.version, data_zero_shot_version=self.zero_shot_version)
        _below_power_of_two(64, data_split_seed=self.split_seed)
        if self.zero_shot_rescale <= 0:
            raise ValueError(f"data.zero_shot_rescale={self.zero_shot_rescale} must be positive")
        if self.zero_shot is None and self.zero_shot_rescale != 1:
            raise ValueError(f"data.zero_shot_rescale={self.zero_shot_rescale} needs a data.zero_shot, and it is null")


@dataclass(kw_only=True)
class ModelConfig:
    """The model. The defaults are those of the S5 repository's command line.

    Attributes:
        d_model: H, features of a layer.
        d_state: P, states of a layer before conjugate symmetry halves them.
        n_blocks: J, blocks of the initial state matrix.
        step_rescale: Factor on every step: the sampling interval of these data over that of the data trained on.
        remat: What the backward pass computes again: time for memory.
        encoder: What makes features of an input step.
        times: What irregular intervals do, where the data have some.
        likelihood: What a regression answers with; data of classes have `fixed`.
    """

    kind: ModelKind = ModelKind.s5
    n_layers: int = 6
    d_model: int = 128
    d_state: int = 256
    n_blocks: int = 8
    C_init: CInit = CInit.trunc_standard_normal
    discretization: Discretization = Discretization.zoh
    conj_sym: bool = True
    clip_eigs: bool = False
    bidirectional: bool = False
    dt_min: float = 1e-3
    dt_max: float = 1e-1
    activation: Activation = Activation.half_glu1
    norm: Norm = Norm.batch
    prenorm: bool = True
    bn_momentum: float = 0.95
    dropout: float = 0.0
    pooling: Pooling = Pooling.mean
    step_rescale: float = _added(1.0)
    precision: Precision = _added(Precision.float32)  # noqa: RUF009
    remat: Remat = _not_science(Remat.states)  # noqa: RUF009
    encoder: Encoder = _added(Encoder.dense)  # noqa: RUF009
    times: Times = _added(Times.steps)  # noqa: RUF009
    likelihood: Likelihood = _added(Likelihood.fixed)  # noqa: RUF009

    def __post_init__(self) -> None:
        """Refuse combinations that describe no model."""
        _finite("model", self)
        _at_least(
            1,
            model_n_layers=self.n_layers,
            model_d_model=self.d_model,
            model_d_state=self.d_state,
            model_n_blocks=self.n_blocks,
        )
        if self.d_state % self.n_blocks:
            raise ValueError(f"model.d_state={self.d_state} is not divisible by model.n_blocks={self.n_blocks}")
        if self.conj_sym and (self.d_state // self.n_blocks) % 2:
            raise ValueError(
                f"model.conj_sym needs blocks of even size; model.d_state={self.d_state} over "
                f"model.n_blocks={self.n_blocks} gives {self.d_state // self.n_blocks}"
            )
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(f"model.dt_min={self.dt_min} must lie above 0 and not above model.dt_max={self.dt_max}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout={self.dropout} must lie in [0, 1)")
        if not 0 <= self.bn_momentum < 1:
            raise ValueError(f"model.bn_momentum={self.bn_momentum} must lie in [0, 1)")
        if self.step_rescale <= 0:
            raise ValueError(f"model.step_rescale={self.step_rescale} must be positive")

    def check_fits(self, d_input: int, head: Head, *, tokens: bool = False, times: bool = True) -> None:
        """Refuse data that such a model cannot read.

        Args:
            d_input: Features of an input step, or different tokens.
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
    """Return the side of a square picture that `model.encoder=picture` reads; None for another number of pixels."""
    side = isqrt(n_pixels)
    return side if side and side * side == n_pixels and side % 8 == 0 else None


@dataclass(kw_only=True)
class OptimConfig:
    """The optimizer. Learning rates are absolute, never factors of each other.

    Attributes:
        lr: Learning rate of the regular parameters.
        ssm_lr: Learning rate of the SSM's own parameters.
        weight_decay: Decoupled decay of the groups that decay.
        warmup_epochs: Epochs of linear warm-up from zero; may be fractional.
        lr_min: Where the cosine ends, and what a plateau never goes below.
        lr_patience_epochs: With `schedule=plateau`, epochs without a better validation score before the rates fall.
        lr_reduce_factor: With `schedule=plateau`, what the rates are multiplied by then.
        clip_norm: The largest global norm of a gradient; None for any.
    """

    lr: float = 1e-3
    ssm_lr: float = 1e-3
    weight_decay: float = 0.05
    groups: ParamGroups = ParamGroups.standard
    dt_global: bool = False
    schedule: Schedule = Schedule.cosine
    warmup_epochs: float = 1.0
    lr_min: float = 0.0
    lr_patience_epochs: int = _added(10)
    lr_reduce_factor: float = _added(0.5)
    clip_norm: float | None = _added(None)

    def __post_init__(self) -> None:
        """Refuse rates that cannot train."""
        _finite("optim", self)
        if self.lr <= 0 or self.ssm_lr <= 0:
            raise ValueError(f"optim.lr={self.lr} and optim.ssm_lr={self.ssm_lr} must be positive")
        _at_least(
            0, optim_weight_decay=self.weight_decay, optim_warmup_epochs=self.warmup_epochs, optim_lr_min=self.lr_min
        )
        _at_least(1, optim_lr_patience_epochs=self.lr_patience_epochs)
        if self.schedule is not Schedule.constant and self.lr_min > min(self.lr, self.ssm_lr):
            raise ValueError(
                f"optim.lr_min={self.lr_min} must not lie above optim.lr={self.lr} or optim.ssm_lr={self.ssm_lr}: "
                "the rates would rise to it"
            )
        if not 0 < self.lr_reduce_factor <= 1:
            raise ValueError(f"optim.lr_reduce_factor={self.lr_reduce_factor} must lie in (0, 1]")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"optim.clip_norm={self.clip_norm} must be positive")


@dataclass(kw_only=True)
class TrainConfig:
    """The loop.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Examples per step.
        microbatches: Equal parts of a batch that are computed one after the other; their gradients are added up.
        devices: Local devices that a batch is divided over; None for all.
        eval_batch_size: Examples per evaluation step.
        eval_every_epochs: Epochs between evaluations on the validation split.
        early_stop_epochs: Epochs without a better validation score after which training ends; None never.
        log_every_steps: Steps between lines of `metrics.jsonl`.
        checkpoint_every_steps: Steps between checkpoints; None for the end of each epoch.
        keep_checkpoints: How many of the last checkpoints are kept; each holds the best model so far too.
    """

    epochs: int = 100
    batch_size: int = 64
    eval_batch_size: int = 128
    eval_every_epochs: int = 1
    early_stop_epochs: int | None = None
    microbatches: int = _added(1)
    devices: int | None = _not_science(None)
    log_every_steps: int = _not_science(10)
    checkpoint_every_steps: int | None = _not_science(None)
    keep_checkpoints: int = _not_science(2)

    def __post_init__(self) -> None:
        """Refuse loops that never turn."""
        _at_least(
            1,
            train_epochs=self.epochs,
            train_batch_size=self.batch_size,
            train_microbatches=self.microbatches,
            train_devices=self.devices,
            train_eval_batch_size=self.eval_batch_size,
            train_eval_every_epochs=self.eval_every_epochs,
            train_early_stop_epochs=self.early_stop_epochs,
            train_log_every_steps=self.log_every_steps,
            train_checkpoint_every_steps=self.checkpoint_every_steps,
            train_keep_checkpoints=self.keep_checkpoints,
        )
        if self.batch_size % self.microbatches:
            raise ValueError(
                f"train.batch_size={self.batch_size} is not divisible by train.microbatches={self.microbatches}"
            )


@dataclass(kw_only=True)
class WandbConfig:
    """The mirror of the metrics at Weights & Biases; off unless asked for."""

    mode: WandbMode = _not_science(WandbMode.disabled)  # noqa: RUF009
    project: str = _not_science("s5-launch")
    entity: str | None = _not_science(None)


@dataclass(kw_only=True)
class Config:
    """One run, whole.

    Attributes:
        recipe: Name of the experiment's recipe, for the reader; it does not change the numbers.
        seed: Seed of initialisation, data order and dropout.
        platform: The device that must be found.
        compat: Whether the S5 repository's faults are brought back, to reproduce a published number as it was made.
    """

    recipe: str = _not_science("")
    seed: int = 0
    platform: Platform = _not_science(Platform.any)  # noqa: RUF009
    compat: Compat = _added(Compat.none)  # noqa: RUF009
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes, or that JAX would take for a smaller one: it keeps 32 bits."""
        _at_least(0, seed=self.seed)
        _below_power_of_two(32, seed=self.seed)


def _finite(section: str, config: Any) -> None:
    """Raise unless every float is a finite number. Comparisons let nan pass: `nan <= 0` is false."""
    for name, value in vars(config).items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{section}.{name}={value} must be a finite number")


def _at_least(least: int, **values: int | float | None) -> None:
    """Raise unless every value is at least `least`. The first `_` of a name stands for the dot of its key path."""
    for name, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be at least {least}")


def _below_power_of_two(bits: int, **values: int) -> None:
    """Raise unless every value has so many bits at most. Names are as in `_at_least`."""
    for name, value in values.items():
        if value >> bits:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be below 2^{bits}")
