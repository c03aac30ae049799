"""The sections `optim` and `train` of the configuration."""

from dataclasses import dataclass, field
from math import isfinite

from s5.config.checks import MOST_FLOAT, check_at_least, check_finite, take_names
from s5.config.choices import ParamGroups, Schedule
from s5.config.fields import added, not_science

AUTO = "auto"


@dataclass(kw_only=True)
class OptimConfig:
    """The optimizer. Learning rates are absolute values, never factors of each other.

    Attributes:
        lr: Learning rate of the regular parameters.
        ssm_lr: Learning rate of the SSM's own parameters.
        groups: The parameters that have `ssm_lr`, and those that decay.
        dt_global: Whether the step sizes of the SSM train as regular parameters: with `lr`, and with decay.
        lr_of: Learning rates of single parameters by their names, such as `{log_step: 0.02}`; 0 for parameters that do
            not train. Whether they decay is still decided by `groups`.
        weight_decay: Decoupled weight decay of the parameter groups that decay.
        warmup_epochs: Epochs of linear warm-up from zero; may be fractional.
        lr_min: The final learning rate of `schedule=cosine`, and the lowest of `schedule=plateau`.
        lr_patience_epochs: With `schedule=plateau`, epochs without a better validation score before the rates fall.
        lr_reduce_factor: With `schedule=plateau`, the factor that multiplies the rates when they fall.
        layer_decay: Factor on the learning rates for each step down from the head: 1 at the head, `layer_decay` at the
            last layer, and so on to the encoder.
        clip_norm: The largest global norm of a gradient; None for no limit.
    """

    lr: float = 1e-3
    ssm_lr: float = 1e-3
    weight_decay: float = 0.05
    groups: ParamGroups = ParamGroups.standard
    dt_global: bool = False
    lr_of: dict[str, float | None] = field(default_factory=dict, metadata={"added": True})
    schedule: Schedule = Schedule.cosine
    warmup_epochs: float = 1.0
    lr_min: float = 0.0
    lr_patience_epochs: int = added(10)
    lr_reduce_factor: float = added(0.5)
    layer_decay: float = added(1.0)
    clip_norm: float | None = added(None)

    def __post_init__(self) -> None:
        """Raise ValueError if a rate, a factor or a number of epochs is out of range."""
        take_names("optim", self)
        check_finite("optim", self)
        if self.lr <= 0 or self.ssm_lr <= 0:
            raise ValueError(f"optim.lr={self.lr} and optim.ssm_lr={self.ssm_lr} must be positive")
        check_at_least(
            0, optim_weight_decay=self.weight_decay, optim_warmup_epochs=self.warmup_epochs, optim_lr_min=self.lr_min
        )
        check_at_least(1, optim_lr_patience_epochs=self.lr_patience_epochs)
        if self.schedule is not Schedule.constant and self.lr_min > min(self.lr, self.ssm_lr):
            raise ValueError(
                f"optim.lr_min={self.lr_min} must not be above optim.lr={self.lr} or optim.ssm_lr={self.ssm_lr}: "
                "the learning rate would rise"
            )
        self._check_named_rates()
        if not 0 < self.lr_reduce_factor <= 1:
            raise ValueError(f"optim.lr_reduce_factor={self.lr_reduce_factor} must be above 0 and at most 1")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"optim.layer_decay={self.layer_decay} must be above 0 and at most 1")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"optim.clip_norm={self.clip_norm} must be positive")

    def _check_named_rates(self) -> None:
        for name, rate in self.lr_of.items():
            if rate is None:
                continue
            if not isfinite(rate) or rate < 0:
                raise ValueError(f"optim.lr_of: {name}={rate} must be a finite number, at least 0")
            if rate > MOST_FLOAT:
                raise ValueError(f"optim.lr_of: {name}={rate} must be at most {MOST_FLOAT:g}")
            if self.schedule is not Schedule.constant and 0 < rate < self.lr_min:
                raise ValueError(
                    f"optim.lr_min={self.lr_min} must not be above optim.lr_of: {name}={rate}: the learning rate would "
                    "rise"
                )


def describe_long_warmup(warmup_epochs: float, epochs: int) -> str | None:
    """Return a warning if the warm-up is longer than the training, so that `optim.lr` is never reached; else None."""
    if warmup_epochs <= epochs:
        return None
    return (
        f"optim.warmup_epochs={warmup_epochs:g} is more than train.epochs={epochs}: the learning rate ends at "
        f"{epochs / warmup_epochs:.0%} of optim.lr"
    )


@dataclass(kw_only=True)
class TrainConfig:
    """The training loop.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Examples per step; `auto` for the largest power of two, times devices and microbatches, whose step
            fits into the memory of the device.
        max_batch_size: The most examples per step that `batch_size=auto` may choose; None for the whole training split.
        microbatches: Equal parts of a batch, computed one after the other; their gradients are added up.
        devices: Number of local devices that share a batch; None for all.
        eval_batch_size: Examples per evaluation step.
        eval_every_epochs: Epochs between evaluations on the validation split.
        early_stop_epochs: Epochs without a better validation score after which training ends; None to never end early.
        ema: Decay per step of an exponential average of the model, such as 0.999. The average is evaluated and kept as
            the best model. None for no average.
        swa_start_epoch: Evaluate and keep the mean of the models at the ends of the epochs from this one on, in place
            of the model itself; None for no mean.
        log_every_steps: Steps between lines of `metrics.jsonl`.
        checkpoint_every_steps: Steps between checkpoints; None to save at the end of each epoch.
        keep_checkpoints: Number of the last checkpoints to keep; each also contains the best model so far.
        init_from: The source run, whose best parameters this run starts from: its directory or, in a sweep, a block
            that this run comes after; None to initialise at random.
        init_hash: The science hash of the source run; set when the config is composed.
        init_skip: Patterns, such as `head*`, of parameters that are initialised at random although `init_from` is set.
        extend_from: A finished run that this run continues for more epochs, from its last checkpoint; None for a run
            from the start. `python -m s5 extend` sets it.
        extend_hash: The science hash of that run; set when the config is composed.
    """

    epochs: int = 100
    batch_size: int | str = 64
    eval_batch_size: int = 128
    eval_every_epochs: int = 1
    early_stop_epochs: int | None = None
    microbatches: int = added(1)
    max_batch_size: int | None = added(None)
    ema: float | None = added(None)
    swa_start_epoch: int | None = added(None)
    devices: int | None = not_science(None)
    log_every_steps: int = not_science(10)
    checkpoint_every_steps: int | None = not_science(None)
    keep_checkpoints: int = not_science(2)
    init_from: str | None = not_science(None)
    init_hash: str | None = added(None)
    init_skip: list[str] = field(default_factory=list, metadata={"added": True})
    extend_from: str | None = not_science(None)
    extend_hash: str | None = added(None)

    def __post_init__(self) -> None:
        """Raise ValueError if a number is below 1 or not finite, or if keys do not fit together."""
        take_names("train", self)
        check_finite("train", self)
        check_at_least(
            1,
            train_epochs=self.epochs,
            train_batch_size=None if self.batch_size == AUTO else self.examples_per_step,
            train_max_batch_size=self.max_batch_size,
            train_microbatches=self.microbatches,
            train_devices=self.devices,
            train_eval_batch_size=self.eval_batch_size,
            train_eval_every_epochs=self.eval_every_epochs,
            train_early_stop_epochs=self.early_stop_epochs,
            train_swa_start_epoch=self.swa_start_epoch,
            train_log_every_steps=self.log_every_steps,
            train_checkpoint_every_steps=self.checkpoint_every_steps,
            train_keep_checkpoints=self.keep_checkpoints,
        )
        if self.max_batch_size is not None and self.batch_size != AUTO:
            raise ValueError(f"train.max_batch_size={self.max_batch_size} needs train.batch_size=auto")
        if self.batch_size != AUTO and self.examples_per_step % self.microbatches:
            raise ValueError(
                f"train.batch_size={self.batch_size} is not divisible by train.microbatches={self.microbatches}"
            )
        self._check_average()
        if self.init_from is None and (self.init_hash is not None or self.init_skip):
            raise ValueError("train.init_hash and train.init_skip need train.init_from, which is null")
        if self.extend_from is None and self.extend_hash is not None:
            raise ValueError("train.extend_hash needs train.extend_from, which is null")

    @property
    def examples_per_step(self) -> int:
        """The batch size as a number.

        Raises:
            ValueError: If it is a text; for `auto`, only the training finds the number.
        """
        if isinstance(self.batch_size, str):
            raise ValueError(f"train.batch_size={self.batch_size} must be a whole number, or auto")
        return self.batch_size

    def _check_average(self) -> None:
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"train.ema={self.ema} must be above 0 and below 1")
        if self.swa_start_epoch is None:
            return
        if self.ema is not None:
            raise ValueError(
                f"train.ema={self.ema} and train.swa_start_epoch={self.swa_start_epoch} are two averages; set one of "
                "them to null"
            )
        if self.swa_start_epoch >= self.epochs:
            raise ValueError(f"train.swa_start_epoch={self.swa_start_epoch} must be below train.epochs={self.epochs}")
