"""The learning rate of every update: a warm-up, then a cosine, a constant, or a fall at every plateau.

Sources: Smith et al. 2023 (arXiv:2208.04933), App. G; for `compat=upstream`, the training loop of the S5 repository
(github.com/lindermanlab/S5), whose rates are those of the update before.
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
    """How often the rates have fallen since they no longer helped, and when; `schedule=plateau` alone lets them.

    Attributes:
        times: How often.
        step: Updates done at the last time; 0 before it.
    """

    times: Int[Array, ""]
    step: Int[Array, ""]

    @classmethod
    def initial(cls) -> "PlateauState":
        """Return that of a training in which the rates have not fallen."""
        return cls(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def reduce(self, step: int) -> "PlateauState":
        """Return it after the rates fall once more, `step` updates done."""
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
        floor: Where the cosine ends, at `total_steps`.
        warmup_steps: Updates of the warm-up; 0 starts at the peak.
        total_steps: Updates of the whole training.
        schedule: What follows the warm-up; a plateau changes the peak.

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
    """Return the learning rate after `step` updates as the S5 repository sets it, faults and all.

    The rate is set after an update, for the next: the first update has the peak. The cosine is as long as what is
    left after the warm-up but begins with the training: it starts below the peak, and the last updates, as many as
    the warm-up has, stay at the floor.

    Args:
        step: Updates done so far.
        peak: The rate at the end of the warm-up.
        floor: Where the cosine ends.
        warmup_steps: Updates of the warm-up.
        total_steps: Updates of the whole training.
        schedule: What follows the warm-up.

    Returns:
        The rate of the next update.
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
    """Return the rate of one group as a function of the step and of how often the rates have fallen.

    Args:
        config: The schedule, its warm-up and its end.
        peak: `config.lr` or `config.ssm_lr`.
        steps_per_epoch: Updates per epoch.
        epochs: Epochs of the whole training.
        compat: Whose rates, ours or the S5 repository's.

    Returns:
        A function (step, plateau) -> rate; without `plateau` they have not fallen.
    """
    # Rounded first: 0.1 epochs of 30 steps are 3.0000000000000004 in floating point, and 3 steps.
    warmup_steps = math.ceil(round(config.warmup_epochs * steps_per_epoch, 6))
    total_steps = epochs * steps_per_epoch
    rate = learning_rate_set_after_update if compat.rate_set_after_update else learning_rate

    def schedule(step: Int[Array, ""] | int, plateau: PlateauState | None = None) -> Float[Array, ""]:
        top = peak
        if config.schedule is Schedule.plateau and plateau is not None:
            # Upstream's first update after a fall still has the rate that was set before it.
            count = plateau.times - (compat.rate_set_after_update & (plateau.times > 0) & (plateau.step == step))
            top = jnp.maximum(peak * config.lr_reduce_factor ** count.astype(jnp.float32), min(config.lr_min, peak))
        return rate(step, top, config.lr_min, warmup_steps, total_steps, config.schedule)

    return schedule


def has_plateaued(config: OptimConfig, steps_without_gain: int, steps_per_epoch: int, compat: Compat) -> bool:
    """Return whether the rates must fall now.

    Args:
        config: The schedule and its patience.
        steps_without_gain: Updates since the best validation score, or since the rates fell last.
        steps_per_epoch: Updates per epoch.
        compat: Whether one epoch more passes first, as in the S5 repository.
    """
    patience = config.lr_patience_epochs + compat.plateau_waits_longer
    return config.schedule is Schedule.plateau and steps_without_gain >= patience * steps_per_epoch
