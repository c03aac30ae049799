"""Initial values of dense weights, drawn by NumPy in float64 and stored as float32."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jaxtyping import Array, Float32, Float64

M = TypeVar("M", bound=nnx.Module)

# Standard deviation of a standard normal that is truncated to ±2.
_TRUNCATED_STD = 0.8796256610342398


def init_truncated_normal(rng: np.random.Generator, shape: Sequence[int], std: float) -> Float64[np.ndarray, "..."]:
    """Draw from a normal distribution that is truncated at two standard deviations.

    Args:
        rng: The generator.
        shape: Shape of the result.
        std: Standard deviation of the result, after the truncation.

    Returns:
        The draws.
    """
    draws = rng.standard_normal(shape)
    while (outside := np.abs(draws) > 2).any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
    return draws * (std / _TRUNCATED_STD)


def init_lecun_normal(rng: np.random.Generator, shape: Sequence[int], fan_in: int) -> Float64[np.ndarray, "..."]:
    """Draw from a truncated normal distribution of variance 1/fan_in."""
    return init_truncated_normal(rng, shape, 1 / math.sqrt(fan_in))


def as_generator(rngs: nnx.Rngs | np.random.Generator) -> np.random.Generator:
    """Return a NumPy generator seeded by one key of `rngs.params`; return a generator unchanged.

    NumPy draws the initial values in float64; they are multiplied by eigenvectors before they become float32.
    """
    if isinstance(rngs, np.random.Generator):
        return rngs
    return _seeded(jax.random.key_data(rngs.params()))


def _seeded(key_data: Any) -> np.random.Generator:
    return np.random.default_rng(np.asarray(key_data))


def make_traceable(make: Callable[[np.random.Generator], M], rngs: nnx.Rngs | np.random.Generator) -> M:
    """Return `make(generator)`, also inside of JAX's transformations, such as `nnx.jit`, `nnx.vmap`, `nnx.eval_shape`.

    There the key has no value yet, and NumPy cannot draw. The structure of the module does not depend on the key, so
    it is taken from a module made with another key. When JAX has the value of the key, it calls NumPy for the values.

    Args:
        make: Makes a module with initial values from the generator.
        rngs: As for `as_generator`.
    """
    if isinstance(rngs, np.random.Generator):
        return make(rngs)
    key = jax.random.key_data(rngs.params())
    if not isinstance(key, Tracer):
        return make(_seeded(key))

    def draw(key_data: Any) -> Any:
        return jax.tree.map(np.asarray, nnx.state(make(_seeded(key_data))))

    with jax.ensure_compile_time_eval():
        graphdef, state = nnx.split(make(_seeded([0])))
    shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), state)
    return nnx.merge(graphdef, jax.pure_callback(draw, shapes, key, vmap_method="sequential"))


def to_float32(values: np.ndarray) -> Float32[Array, "..."]:
    """Return the values as a float32 JAX array, the form in which parameters store them."""
    return jnp.asarray(values, dtype=jnp.float32)


def split_complex(values: np.ndarray) -> tuple[Float32[Array, "..."], Float32[Array, "..."]]:
    """Return the real parts and the imaginary parts of complex values, as float32 JAX arrays."""
    return to_float32(np.real(values)), to_float32(np.imag(values))
