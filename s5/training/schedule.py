"""The learning rate of every update: a warm-up, then a cosine, a constant, or a reduction at every plateau.

Sources: Smith et al. 2023 (arXiv:2208.04933), App. G. For `compat=upstream`, the training loop of the S5 repository
(github.com/lindermanlab/S5), which sets the rate after each update.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from s5.config.choices import Schedule
from s5.config.compat import OURS, Compat
from s5.config.training import OptimConfig


class PlateauState(NamedTuple):
    """The reductions of the learning rates so far; only `schedule=plateau` makes any.

    The names of the fields are part of every checkpoint.

    Attributes:
        times: Number of reductions.
        step: Updates done at the last reduction; 0 before the first.
    """

    times: Int[Array, ""]
    step: Int[Array, ""]

    @classmethod
    def initial(cls) -> "PlateauState":
        """Return the initial state."""
        return cls(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def reduce(self, step: int) -> "PlateauState":
        """Return the state after one more reduction, with `step` updates done."""
        return PlateauState(self.times + 1, jnp.asarray(step, jnp.int32))


def learning_rate(
    step: Int[Array, ""] | int,
    peak: Float[Array, ""] | float,
    floor: float,
    warmup_steps: int,
    total_steps: int,
    schedule: Schedule,
) -> Float[Array, ""]:
    """Return the learning rate after `step` updates: linear from 0 to `peak`, then by the schedule.

    Args:
        step: Updates done so far.
        peak: The rate at the end of the warm-up.
        floor: The rate at the end of the cosine.
        warmup_steps: Updates of the warm-up; 0 to start at the peak.
        total_steps: Updates of the whole training.
        schedule: The schedule after the warm-up. With `plateau` the caller passes a lower peak after each reduction.

    Returns:
        The rate of the next update.
    """
    step = jnp.asarray(step, jnp.float32)
    warm = peak * step / max(warmup_steps, 1)
    progress = jnp.clip((step - warmup_steps) / max(total_steps - warmup_steps, 1), 0, 1)
    after = floor + (peak - floor) * (1 + jnp.cos(jnp.pi * progress)) / 2 if schedule is Schedule.cosine else peak
    return jnp.where(step < warmup_steps, warm, after)


def learning_rate_set_after_update(
    step: Int[Array, ""] | int,
    peak: Float[Array, ""] | float,
    floor: float,
    warmup_steps: int,
    total_steps: int,
    schedule: Schedule,
) -> Float[Array, ""]:
    """Return `learning_rate` as the S5 repository computes it, including its faults.

    That code sets the rate of the next update after each update, so the first update has the peak rate. Its cosine is
    shorter by the warm-up but starts at step 0. So after the warm-up the rate begins below the peak, and the last
    `warmup_steps` updates have the floor.
    """
    step = jnp.asarray(step, jnp.float32)
    last = step - 1  # the update after which the rate was set
    progress = jnp.minimum(last / max(total_steps - warmup_steps, 1), 1)
    after = floor + (peak - floor) * (1 + jnp.cos(jnp.pi * progress)) / 2 if schedule is Schedule.cosine else peak
    rate = jnp.where(last < warmup_steps, peak * step / max(warmup_steps, 1), after)
    return jnp.where(step == 0, peak, rate)


def make_schedule(
    config: OptimConfig, peak: float, steps_per_epoch: int, epochs: int, compat: Compat = OURS
) -> Callable[..., Float[Array, ""]]:
    """Return the learning rate of one group as a function of the step and the plateau.

    Args:
        config: The schedule, its warm-up and its end.
        peak: `config.lr` or `config.ssm_lr`.
        steps_per_epoch: Updates per epoch.
        epochs: Epochs of the whole training.
        compat: Which rates to use: ours, or those of the S5 repository.

    Returns:
        A function (step, plateau) -> rate; if `plateau` is None, there was no reduction.
    """
    # Rounded first: 0.1 epochs of 30 steps are 3.0000000000000004 in floating point, which `ceil` would make 4 steps.
    warmup_steps = math.ceil(round(config.warmup_epochs * steps_per_epoch, 6))
    total_steps = epochs * steps_per_epoch
    rate = learning_rate_set_after_update if compat.rate_set_after_update else learning_rate

    def schedule(step: Int[Array, ""] | int, plateau: PlateauState | None = None) -> Float[Array, ""]:
        top = peak
        if config.schedule is Schedule.plateau and plateau is not None:
            # Upstream sets the rate after an update, so the first update after a reduction still has the old rate.
            count = plateau.times - (compat.rate_set_after_update & (plateau.times > 0) & (plateau.step == step))
            top = jnp.maximum(peak * config.lr_reduce_factor ** count.astype(jnp.float32), min(config.lr_min, peak))
        return rate(step, top, config.lr_min, warmup_steps, total_steps, config.schedule)

    return schedule


def has_plateaued(config: OptimConfig, steps_without_gain: int, steps_per_epoch: int, compat: Compat) -> bool:
    """Return whether to reduce the learning rates now.

    Args:
        config: The schedule and its patience.
        steps_without_gain: Updates since the best validation score, or since the last reduction if that is later.
        steps_per_epoch: Updates per epoch.
        compat: Whether to wait one epoch longer, as the S5 repository does.
    """
    patience = config.lr_patience_epochs + compat.plateau_waits_longer
    return config.schedule is Schedule.plateau and steps_without_gain >= patience * steps_per_epoch
