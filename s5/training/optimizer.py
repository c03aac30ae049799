"""The optimizer: Adam with decoupled decay. The type of a parameter decides its learning rate and its decay.

Source: the four parameter groupings of the S5 repository (github.com/lindermanlab/S5). In that code, normalisation
parameters and biases decay by mistake, because a label matches no parameter; `compat=upstream` reproduces the mistake.
"""

from enum import Enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from s5.config.choices import ParamGroups
from s5.config.compat import OURS, Compat
from s5.config.training import OptimConfig
from s5.nn.params import BiasParam, InputParam, NormParam, OutputParam, StateParam, StepParam, WeightParam
from s5.training.learning_rates import find_depth_factors, find_named_rates
from s5.training.schedule import PlateauState, make_schedule


class Rule(Enum):
    """How the parameters of a group train: the key of their learning rate, and whether they decay."""

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


def find_rule(param: Any, config: OptimConfig, path: str = "", compat: Compat = OURS) -> Rule:
    """Return the rule of one parameter.

    Args:
        param: The variable; its type decides its group.
        config: Its `groups` selects the table; with `dt_global` the step sizes Δ train as regular parameters.
        path: The parameter's path, for the message.
        compat: Whether normalisation parameters and biases decay.

    Returns:
        The rule.

    Raises:
        TypeError: If the type of the variable is in no group.
    """
    table = RULES[config.groups]
    if type(param) not in table:
        known = ", ".join(kind.__name__ for kind in table)
        raise TypeError(
            f"parameter {path} is a {type(param).__name__}, which is not an optimizer group; groups: {known}"
        )
    if config.dt_global and isinstance(param, StepParam):
        return Rule.regular
    if compat.norms_and_biases_decay and isinstance(param, (NormParam, BiasParam)):
        return Rule.regular
    return table[type(param)]


class ParamPlan(NamedTuple):
    """How one parameter trains.

    Attributes:
        rate: The key of its learning rate in the config, or a rate of its own; 0 if it does not train.
        decays: Whether it decays.
        factor: A factor on the rate that broadcasts to the parameter; None for 1.
    """

    rate: str | float
    decays: bool
    factor: Float[np.ndarray, "..."] | None = None


def make_plans(params: PyTree, config: OptimConfig, compat: Compat = OURS) -> list[ParamPlan]:
    """Return how each parameter trains, in the order of `jax.tree.leaves`.

    Args:
        params: The parameters, as `nnx.state(model, nnx.Param)` returns them.
        config: The groups, and the rates by name and by depth.
        compat: Whether normalisation parameters and biases decay.

    Raises:
        TypeError: If a parameter is in no group.
        UserError: If a name in `lr_of` fits no parameter.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params, is_leaf=_is_variable)
    found = {jax.tree_util.keystr(path, simple=True, separator="."): param for path, param in leaves}
    named = find_named_rates(config.lr_of, list(found))
    factors = find_depth_factors(config.layer_decay, {path: jnp.shape(param) for path, param in found.items()})
    rules = {path: find_rule(param, config, path, compat) for path, param in found.items()}
    return [ParamPlan(named.get(path, rule.rate), rule.decays, factors.get(path)) for path, rule in rules.items()]


class OptimizerState(NamedTuple):
    """The state of the optimizer: updates done, Adam's moments, and the reductions of the rates.

    The moments are vectors over all parameters. With one array per parameter, Adam would take a fifth of all kernels of
    a training step, and of the time to compile it. The names of the fields are part of every checkpoint.
    """

    step: Int[Array, ""]
    adam: optax.OptState
    falls: PlateauState


def make_optimizer(
    config: OptimConfig, params: PyTree, steps_per_epoch: int, epochs: int, compat: Compat = OURS
) -> optax.GradientTransformation:
    """Return the optimizer of a model's parameters.

    Args:
        config: Rates, decay and grouping. `lr_of` gives parameters rates of their own: the S4 and DSS repositories have
            one for Lambda, P and B, and another for the step sizes.
        params: The parameters, as `nnx.state(model, nnx.Param)` returns them.
        steps_per_epoch: Updates per epoch.
        epochs: Epochs of the whole training.
        compat: Which groups and rates to use: ours, or those of the S5 repository.

    Returns:
        An optax transformation for trees like `params`. Its state is an `OptimizerState`.

    Raises:
        TypeError: If a parameter is in no group.
        UserError: If a name in `optim.lr_of` fits no parameter.
    """
    plans = make_plans(params, config, compat)
    peaks = {"lr": config.lr, "ssm_lr": config.ssm_lr} | {p.rate: p.rate for p in plans if isinstance(p.rate, float)}
    schedules = {
        rate: make_schedule(config, peak, steps_per_epoch, epochs, compat) for rate, peak in peaks.items() if peak
    }
    adam = optax.scale_by_adam()

    def init(params: PyTree) -> OptimizerState:
        return OptimizerState(
            jnp.zeros((), jnp.int32), adam.init(_as_vector(jax.tree.leaves(params))), PlateauState.initial()
        )

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, OptimizerState]:
        leaves, tree = jax.tree.flatten(updates)
        leaves = [leaf if plan.rate else jnp.zeros_like(leaf) for plan, leaf in zip(plans, leaves, strict=True)]
        gradient = _as_vector(leaves)
        if config.clip_norm is not None:
            gradient = clip(gradient, config.clip_norm)
        direction, adam_state = adam.update(gradient, state.adam)
        rates = {name: schedule(state.step, state.falls) for name, schedule in schedules.items()}
        scaled = [
            _update(plan, rates.get(plan.rate), d + config.weight_decay * p if plan.decays else d)
            for plan, d, p in zip(plans, _split_like(leaves, direction), jax.tree.leaves(params), strict=True)
        ]
        return jax.tree.unflatten(tree, scaled), OptimizerState(state.step + 1, adam_state, state.falls)

    return optax.GradientTransformation(init, update)


def _update(plan: ParamPlan, rate: Array | None, direction: Array) -> Array:
    """Return the update of a parameter; zero if it does not train."""
    if rate is None:
        return jnp.zeros_like(direction)
    return -rate * direction if plan.factor is None else -(rate * plan.factor) * direction


def clip(gradients: PyTree, norm: float) -> PyTree:
    """Scale gradients so that their global norm is at most `norm`.

    The direction stays the same. Values that are not finite stay not finite.
    """
    # Divide by the largest entry first, since its square may overflow float32.
    unit = jnp.maximum(jax.tree.reduce(jnp.maximum, jax.tree.map(lambda g: jnp.abs(g).max(), gradients)), 1e-30)
    length = optax.tree.norm(jax.tree.map(lambda g: g / unit, gradients))
    factor = jnp.minimum(1.0, norm / unit / length)
    return jax.tree.map(lambda g: g * factor, gradients)


def _as_vector(arrays: list[Array]) -> Float[Array, " n"]:
    return jnp.concatenate([array.ravel() for array in arrays])


def _split_like(arrays: list[Array], vector: Any) -> list[Array]:
    """Split a vector into arrays of the given shapes; the inverse of `_as_vector`."""
    ends = np.cumsum([array.size for array in arrays])
    return [part.reshape(array.shape) for part, array in zip(jnp.split(vector, ends[:-1]), arrays, strict=True)]


def _is_variable(node: object) -> bool:
    return isinstance(node, nnx.Variable)
