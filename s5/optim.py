"""The optimizer: Adam with decoupled decay, where a parameter's type decides its learning rate and its decay.

Source: the four parameter groupings and the schedule of the S5 repository (github.com/lindermanlab/S5), without its
faults: normalisation parameters and biases never decay, the first step is inside the warm-up, and the cosine reaches
its end with the last step.
"""

import math
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from s5.choices import ParamGroups, Schedule
from s5.config import OptimConfig
from s5.params import BiasParam, InputParam, NormParam, OutputParam, StateParam, StepParam, WeightParam


class Rule(Enum):
    """How a group trains: at which learning rate, and whether its values decay."""

    ssm = ("ssm_lr", False)
    ssm_decay = ("ssm_lr", True)
    regular = ("lr", True)
    regular_no_decay = ("lr", False)

    def __init__(self, rate: str, decays: bool) -> None:
        self.rate, self.decays = rate, decays


_FIXED = {
    StateParam: Rule.ssm,
    StepParam: Rule.ssm,
    NormParam: Rule.ssm,
    WeightParam: Rule.regular,
    BiasParam: Rule.regular_no_decay,
}
RULES: dict[ParamGroups, dict[type[nnx.Param], Rule]] = {
    ParamGroups.standard: {**_FIXED, InputParam: Rule.ssm, OutputParam: Rule.regular},
    ParamGroups.BandCdecay: {**_FIXED, InputParam: Rule.ssm_decay, OutputParam: Rule.regular},
    ParamGroups.BfastandCdecay: {**_FIXED, InputParam: Rule.regular, OutputParam: Rule.regular},
    ParamGroups.noBCdecay: {**_FIXED, InputParam: Rule.ssm, OutputParam: Rule.ssm},
}


def rule_of(param: Any, config: OptimConfig, path: str = "") -> Rule:
    """Return the rule of one parameter.

    Args:
        param: The variable; its type is its group.
        config: Names the table, and whether the step trains with the regular parameters.
        path: Where the parameter lies, for the message.

    Returns:
        The rule.

    Raises:
        TypeError: For a variable whose type is in no group.
    """
    table = RULES[config.groups]
    if type(param) not in table:
        known = ", ".join(kind.__name__ for kind in table)
        raise TypeError(f"parameter {path} is a {type(param).__name__}, which is no optimizer group; groups: {known}")
    if config.dt_global and isinstance(param, StepParam):
        return Rule.regular
    return table[type(param)]


def learning_rate(
    step: Int[Array, ""] | int, peak: float, floor: float, warmup_steps: int, total_steps: int, schedule: Schedule
) -> Float[Array, ""]:
    """Return the learning rate after `step` updates: linear from 0 to `peak`, then by the schedule.

    Args:
        step: Updates done so far.
        peak: The rate at the end of the warm-up.
        floor: Where the cosine ends, at `total_steps`.
        warmup_steps: Updates of the warm-up; 0 starts at the peak.
        total_steps: Updates of the whole training.
        schedule: What follows the warm-up.

    Returns:
        The rate of the next update.
    """
    step = jnp.asarray(step, jnp.float32)
    warm = peak * step / max(warmup_steps, 1)
    progress = jnp.clip((step - warmup_steps) / max(total_steps - warmup_steps, 1), 0, 1)
    after = floor + (peak - floor) * (1 + jnp.cos(jnp.pi * progress)) / 2 if schedule is Schedule.cosine else peak
    return jnp.where(step < warmup_steps, warm, after)


def make_schedule(config: OptimConfig, peak: float, steps_per_epoch: int, epochs: int) -> Callable[[Any], Array]:
    """Return `learning_rate` as a function of the step alone.

    Args:
        config: The schedule, its warm-up and its end.
        peak: `config.lr` or `config.ssm_lr`.
        steps_per_epoch: Updates per epoch.
        epochs: Epochs of the whole training.

    Returns:
        The schedule.
    """
    warmup_steps = math.ceil(config.warmup_epochs * steps_per_epoch)
    total_steps = epochs * steps_per_epoch
    return lambda step: learning_rate(step, peak, config.lr_min, warmup_steps, total_steps, config.schedule)


class GroupState(NamedTuple):
    """The optimizer's state: updates done, and Adam's moments."""

    step: Int[Array, ""]
    adam: optax.OptState


def make_optimizer(
    config: OptimConfig, params: PyTree, steps_per_epoch: int, epochs: int
) -> optax.GradientTransformation:
    """Return the optimizer of a model's parameters.

    Args:
        config: Rates, decay and grouping.
        params: The parameters, as `nnx.state(model, nnx.Param)` returns them.
        steps_per_epoch: Updates per epoch.
        epochs: Epochs of the whole training.

    Returns:
        An optax transformation for trees like `params`.

    Raises:
        TypeError: For a parameter that is in no group.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params, is_leaf=_is_variable)
    rules = [rule_of(param, config, jax.tree_util.keystr(path, simple=True, separator=".")) for path, param in leaves]
    schedules = {
        name: make_schedule(config, getattr(config, name), steps_per_epoch, epochs) for name in ("lr", "ssm_lr")
    }
    adam = optax.scale_by_adam()

    def init(params):
        return GroupState(jnp.zeros((), jnp.int32), adam.init(params))

    def update(updates, state, params=None):
        directions, adam_state = adam.update(updates, state.adam, params)
        rates = {name: schedule(state.step) for name, schedule in schedules.items()}
        flat, tree = jax.tree.flatten(directions)
        scaled = [
            -rates[rule.rate] * (d + config.weight_decay * p if rule.decays else d)
            for rule, d, p in zip(rules, flat, jax.tree.leaves(params), strict=True)
        ]
        return jax.tree.unflatten(tree, scaled), GroupState(state.step + 1, adam_state)

    return optax.GradientTransformation(init, update)


def _is_variable(node):
    return isinstance(node, nnx.Variable)
