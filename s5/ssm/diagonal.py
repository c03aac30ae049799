"""Diagonal state space models with one input and one output for each feature: what S4D and DSS share.

Feature h has N states: x'(t) = Lambda x(t) + u(t), y(t) = Re(C x(t)) + D u(t). Two forms compute the same outputs:

- a convolution with the kernel K_l = Re Σ_n C_n gain_n Lambda_bar_n^l, which makes no states, for whole sequences with
  regular steps;
- a recurrence of all H N states, for streams, irregular steps and segments.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float

from s5.nn.remat import save_for_backward
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.ssm.convolution import causal_convolution
from s5.ssm.discretize import bilinear, log_bilinear, zoh
from s5.ssm.scan import linear_recurrence
from s5.ssm.vandermonde import unit_power, vandermonde_product

# The recurrence runs over groups of features with at most this number of states in a row. The states of all features
# would take N times the memory of the inputs.
_STATES_AT_ONCE = 2**17


class Rule(NamedTuple):
    """A discretization.

    Attributes:
        discretize: (Lambda, step) -> (Lambda_bar, gain), as in `s5.ssm.discretize`.
        log: Lambda times step -> the logarithm of Lambda_bar.
    """

    discretize: Callable[[Array, Array], tuple[Array, Array]]
    log: Callable[[Array], Array]


def impulse(
    Lambda: Float[Array, "2 P"], step: Float[Array, "*axes P"]
) -> tuple[Float[Array, "*axes 2 P"], Float[Array, "*axes 2 P"]]:
    """Discretize an input that acts as an impulse at each step, whatever its length: the gain is 1. See `zoh`."""
    return zoh(Lambda, step)[0], jnp.stack([jnp.ones_like(step), jnp.zeros_like(step)], axis=-2)


ZOH, BILINEAR, IMPULSE = Rule(zoh, jnp.asarray), Rule(bilinear, log_bilinear), Rule(impulse, jnp.asarray)


class System(NamedTuple):
    """The diagonal systems of all features. Complex numbers are stored as real and imaginary parts.

    Attributes:
        Lambda: Eigenvalues, in units of the regular step of the training data.
        C: Output weights of each direction. They already include B and the factor for the second eigenvalue of each
            conjugate pair.
        D: Element-wise feed-through.
        rule: The discretization.
        window: None if no eigenvalue has a positive real part; else a number of regular steps: the kernels of states
            with positive real parts are divided by e^(Lambda window), so they stay bounded at lags below `window`.
    """

    Lambda: Float[Array, "2 H N"]
    C: Float[Array, "2 directions H N"]
    D: Float[Array, " H"]
    rule: Rule
    window: int | None = None


class DiagonalSSM(SequenceMixer):
    """One diagonal state space model for each feature.

    The kernel and the recurrence are computed in float32, or in float64 if the inputs are.

    Attributes:
        n_states: N, number of states of a feature that are stored.
        step_rescale: Factor on every step size.
    """

    n_states: int
    step_rescale: float

    @abstractmethod
    def make_system(self, factor: float | Float[Array, ""]) -> System:
        """Return the systems of all features.

        Args:
            factor: The regular step of these data, in units of the regular step of the training data.
        """

    @final
    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences; see `SequenceMixer`."""
        self.check_inputs(u, steps)
        factor = self.step_rescale * steps.rate
        system = self.make_system(factor)
        wide = u.astype(jnp.promote_types(u.dtype, jnp.float32))
        if steps.mask is not None:  # the reverse direction must not read padding
            wide = jnp.where(steps.mask[..., None], wide, 0)
        if steps.intervals is None and steps.resets is None:
            _check_window(system, factor, u.shape[1])
            kernels = make_kernels(system, factor, u.shape[1])
            y = causal_convolution(wide, kernels[0], kernels[1] if self.bidirectional else None)
        else:
            y = sum(_run(system, wide, steps, factor, direction)[1] for direction in range(1 + self.bidirectional))
        return (y + system.D * wide).astype(u.dtype)

    @final
    def initial_state(self, batch: int) -> Float[Array, "{batch} 2 P"]:
        """Return the state before the first step: zeros, real and imaginary parts of P = H N states."""
        return jnp.zeros((batch, 2, self.d_model * self.n_states))

    @final
    def advance(
        self, state: Float[Array, "batch 2 P"], u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `SequenceMixer`."""
        self.check_stream(u, steps)
        factor = self.step_rescale * steps.rate
        system = self.make_system(factor)
        wide = u.astype(jnp.promote_types(u.dtype, jnp.float32))
        state, y = _run(system, wide, steps, factor, 0, state)
        return state, (y + system.D * wide).astype(u.dtype)


def _check_window(system: System, factor: float | Float[Array, ""], L: int) -> None:
    """Raise ValueError if a sequence is longer than `window` (DSS: `l_max`); not checked for a traced factor."""
    if system.window is not None and not isinstance(factor, Tracer) and factor * L > system.window:
        times = "" if factor == 1 else f" of {float(factor):g} regular intervals"
        raise ValueError(
            f"sequences have {L} steps{times}, more than l_max={system.window}, over which softmax normalises; set "
            f"l_max to at least {math.ceil(float(factor) * L)}, or choose another version"
        )


def make_kernels(system: System, factor: float | Float[Array, ""], L: int) -> Float[Array, "directions H {L}"]:
    """Return the kernels at the lags 0 … L − 1, one for each direction and feature."""
    _, H, N = system.Lambda.shape
    grows = system.Lambda[0] > 0
    # A kernel that grows with the lag is one that decays with the distance from the last lag.
    Lambda = system.Lambda if system.window is None else jnp.where(grows, -system.Lambda, system.Lambda)
    flat = Lambda.reshape(2, H * N)
    _, gain = system.rule.discretize(flat, jnp.broadcast_to(factor, (H * N,)).astype(flat.dtype))
    a, gain = system.rule.log(Lambda * factor), gain.reshape(2, H, N)

    c = complex_product(gain[:, None], system.C)
    if system.window is None:
        return save_for_backward(vandermonde_product(a, c, L))
    late = complex_product(c, _last_power(system, factor, L)[:, None])
    both = jnp.concatenate([jnp.where(grows, 0, c), jnp.where(grows, late, 0)], axis=1)
    forward, backward = jnp.split(vandermonde_product(a, both, L), 2)
    return save_for_backward(forward + jnp.flip(backward, -1))


def _last_power(system: System, factor: float | Array, L: int) -> Array:
    """Return e^(Lambda (factor L − window)) for the states that grow, where it is finite, and 1 for the others."""
    assert system.window is not None
    re, im = jnp.where(system.Lambda[0] > 0, system.Lambda, 0)
    turned = complex_product(unit_power(im * factor, L), unit_power(-im, system.window))
    return jnp.exp(re * (factor * L - system.window)) * turned


def _run(
    system: System,
    u: Float[Array, "batch L H"],
    steps: Steps,
    factor: float | Float[Array, ""],
    direction: int,
    initial: Float[Array, "batch 2 P"] | None = None,
) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch L H"]]:
    """Return the last states and the outputs Re(C x) of one direction, by the recurrence."""
    batch, L, H = u.shape
    N = system.Lambda.shape[2]
    groups = next(n for n in range(1, H + 1) if H % n == 0 and (n * _STATES_AT_ONCE >= L * H * N or n == H))
    if initial is None:
        initial = jnp.zeros((batch, 2, H * N), u.dtype)

    def run(values: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        Lambda, C, u, initial = values
        part = system._replace(Lambda=Lambda, C=C)
        states = _states(part, u, steps, factor, direction == 1, initial)
        return states[:, -1], _output(part, states)

    C = system.C[:, direction]
    if groups == 1:
        return run((system.Lambda, C, u, initial))
    split = (
        *(jnp.moveaxis(array.reshape(2, groups, H // groups, N), 1, 0) for array in (system.Lambda, C)),
        jnp.moveaxis(u.reshape(batch, L, groups, H // groups), 2, 0),
        jnp.moveaxis(initial.reshape(batch, 2, groups, H // groups * N), 2, 0),
    )
    last, y = lax.map(jax.checkpoint(run), split)
    return jnp.moveaxis(last, 0, 2).reshape(batch, 2, H * N), jnp.moveaxis(y, 0, 2).reshape(batch, L, H)


def _states(
    system: System,
    u: Float[Array, "batch L H"],
    steps: Steps,
    factor: float | Float[Array, ""],
    reverse: bool,
    initial: Float[Array, "batch 2 P"],
) -> Float[Array, "batch L 2 P"]:
    """Return the states of all features by the recurrence."""
    _, H, N = system.Lambda.shape
    Lambda = system.Lambda.reshape(2, H * N)
    gaps = steps.gaps(reverse)
    step = jnp.asarray(factor, Lambda.dtype) if gaps is None else factor * gaps[..., None]
    Lambda_bar, gain = system.rule.discretize(Lambda, jnp.broadcast_to(step, (*step.shape[:-1], H * N)))
    if system.window is not None:
        gain = gain * jnp.exp(-_half_growth(system)).reshape(H * N)
    driven = jnp.repeat(u, N, axis=-1)[..., None, :]
    return linear_recurrence(Lambda_bar, gain * driven, reverse, initial, steps.resets)


def _output(system: System, states: Float[Array, "batch L 2 P"]) -> Float[Array, "batch L H"]:
    """Return Re(C x), for a system with the weights of one direction only, (2, H, N)."""
    C = system.C
    if system.window is not None:
        turned = unit_power(-jnp.where(system.Lambda[0] > 0, system.Lambda[1], 0), system.window)
        C = complex_product(C, turned) * jnp.exp(-_half_growth(system))
    x = states.reshape(*states.shape[:3], *C.shape[1:])
    return (C[0] * x[:, :, 0] - C[1] * x[:, :, 1]).sum(-1)


def _half_growth(system: System) -> Float[Array, "H N"]:
    """Return half of the window's growth: inputs and outputs take one half each, so that more growth stays finite."""
    assert system.window is not None
    return jnp.maximum(system.Lambda[0], 0) * (system.window / 2)


def complex_product(one: Float[Array, "2 ..."], other: Float[Array, "2 ..."]) -> Float[Array, "2 ..."]:
    """Return the complex product, for arrays whose first axis is the real and imaginary parts."""
    return jnp.stack([one[0] * other[0] - one[1] * other[1], one[0] * other[1] + one[1] * other[0]])
