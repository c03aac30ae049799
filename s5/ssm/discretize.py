"""Discretization turns a continuous diagonal system into a recurrence. Source: Smith et al. 2023 (arXiv:2208.04933).

x'(t) = Lambda x(t) + B u(t) becomes x_k = Lambda_bar x_{k-1} + B_bar u_k with B_bar = gain * B, one gain per state.
Complex numbers are stored as real arrays with an axis of size 2: index 0 is the real part, index 1 the imaginary part.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from s5.config.choices import Discretization

# If |z|² is below this, (e^z − 1)/z is computed from its series, with an error under 1e-10.
_SERIES_BELOW = 1e-4


def zoh(
    Lambda: Float[Array, "2 P"], step: Float[Array, "*axes P"]
) -> tuple[Float[Array, "*axes 2 P"], Float[Array, "*axes 2 P"]]:
    """Discretize with a zero-order hold: the input is constant over each step.

    Lambda_bar = e^z and gain = step (e^z − 1)/z with z = Lambda step; both are finite and smooth at Lambda = 0.

    Args:
        Lambda: Eigenvalues of the continuous state matrix, in 1/time: real and imaginary parts.
        step: Step size of each state, in units of time; with leading axes if it differs within a sequence.

    Returns:
        Lambda_bar and the gain, each (…, 2, P): real and imaginary parts.
    """
    re, im = Lambda[0] * step, Lambda[1] * step
    # e^z − 1 without cancellation near 0, from half the angle: cos y − 1 = −2 sin²(y/2), sin y = 2 sin(y/2) cos(y/2).
    less_one, sine, cosine = jnp.expm1(re), jnp.sin(im / 2), jnp.cos(im / 2)
    growth, cos, sin = less_one + 1, 1 - 2 * sine**2, 2 * sine * cosine
    top_re, top_im = less_one * cos - 2 * sine**2, growth * sin
    gain = _over(top_re, top_im, re, im)
    return jnp.stack([growth * cos, top_im], axis=-2), step[..., None, :] * gain


def _over(
    top_re: Float[Array, "*axes P"],
    top_im: Float[Array, "*axes P"],
    re: Float[Array, "*axes P"],
    im: Float[Array, "*axes P"],
) -> Float[Array, "*axes 2 P"]:
    """Return (e^z − 1)/z for z = re + i im and e^z − 1 = top_re + i top_im; its derivative is finite at z = 0."""
    square = re**2 + im**2
    near = square < _SERIES_BELOW
    # Both branches of a `where` are differentiated, so each gets arguments at which it is finite.
    inverse = 1 / jnp.where(near, 1.0, square)
    far_re, far_im = (top_re * re + top_im * im) * inverse, (top_im * re - top_re * im) * inverse
    x, y = jnp.where(near, re, 0.0), jnp.where(near, im, 0.0)
    z2_re, z2_im = x**2 - y**2, 2 * x * y
    series_re = 1 + x / 2 + z2_re / 6 + (z2_re * x - z2_im * y) / 24
    series_im = y / 2 + z2_im / 6 + (z2_re * y + z2_im * x) / 24
    return jnp.stack([jnp.where(near, series_re, far_re), jnp.where(near, series_im, far_im)], axis=-2)


def bilinear(
    Lambda: Float[Array, "2 P"], step: Float[Array, "*axes P"]
) -> tuple[Float[Array, "*axes 2 P"], Float[Array, "*axes 2 P"]]:
    """Discretize by the trapezoidal rule.

    Lambda_bar = (1 + z/2)/(1 − z/2) and gain = step/(1 − z/2) with z = Lambda step.

    Args:
        Lambda: Eigenvalues of the continuous state matrix, in 1/time: real and imaginary parts.
        step: Step size of each state, in units of time; with leading axes if it differs within a sequence.

    Returns:
        Lambda_bar and the gain, each (…, 2, P): real and imaginary parts.
    """
    re, im = Lambda[0] * step / 2, Lambda[1] * step / 2
    square = (1 - re) ** 2 + im**2
    inverse_re, inverse_im = (1 - re) / square, im / square
    # (1 + z/2)/(1 − z/2) = 2/(1 − z/2) − 1
    Lambda_bar = jnp.stack([2 * inverse_re - 1, 2 * inverse_im], axis=-2)
    return Lambda_bar, step[..., None, :] * jnp.stack([inverse_re, inverse_im], axis=-2)


def log_bilinear(z: Float[Array, "2 ..."]) -> Float[Array, "2 ..."]:
    """Return the logarithm of (1 + z/2)/(1 − z/2), the Lambda_bar of `bilinear`, with its phase in [−π, π].

    Args:
        z: Eigenvalues times the step size: real parts, none positive, and imaginary parts.
    """
    re, im = z[0] / 2, z[1] / 2
    below, above = (1 - re) ** 2 + im**2, (1 + re) ** 2 + im**2
    # |Lambda_bar|² = 1 + change. Near 1 the first form of the logarithm is exact, near 0 the second, which is never −∞.
    # Both branches of a `where` are differentiated, so each gets arguments at which it is finite.
    change = 4 * re / below
    near, zero = change > -0.5, above < 1e-30
    far = jnp.log(jnp.where(near, 1.0, jnp.maximum(above, 1e-30) / below))
    modulus = jnp.where(near, jnp.log1p(jnp.where(near, change, 0.0)), far) / 2
    return jnp.stack([modulus, jnp.arctan2(im, jnp.where(zero, 1.0, 1 + re)) + jnp.arctan2(im, 1 - re)])


DISCRETIZE: dict[Discretization, Callable[..., tuple[Array, Array]]] = {
    Discretization.zoh: zoh,
    Discretization.bilinear: bilinear,
}
