"""The matrix products around a diagonal recurrence: inputs to what drives the states, states to outputs.

A complex number is a pair of real planes, and the products are real. They are computed in the precision of the inputs
and added up in float32.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from s5.nn.matmul import matmul_transposed


def project_in(
    u: Float[Array, "batch L H"],
    B_re: Float[Array, "P H"],
    B_im: Float[Array, "P H"],
    mask: Bool[Array, "batch L"] | None,
) -> Float[Array, "batch L 2 P"]:
    """Return B u as planes, zero at padded steps.

    Args:
        u: Inputs.
        B_re: Real part of the input matrix.
        B_im: Imaginary part.
        mask: True at valid steps; None if all are.
    """
    B = jnp.concatenate([B_re, B_im])
    Bu = matmul_transposed(u, B, jnp.float32).reshape(*u.shape[:2], 2, -1)
    # With zeros at padded steps, the backward state is still zero when it meets the last valid step.
    return Bu if mask is None else jnp.where(mask[..., None, None], Bu, 0)


def project_out(
    states: list[Float[Array, "batch L 2 P"]],
    u: Float[Array, "batch L H"],
    C_re: Float[Array, "H columns"],
    C_im: Float[Array, "H columns"],
    D: Float[Array, " H"],
    factor: float = 1.0,
) -> Float[Array, "batch L H"]:
    """Return factor Re(C x) + D u, in the precision of u.

    Args:
        states: The states of each direction, as planes.
        u: Inputs.
        C_re: Real part of the output matrix: P columns for each direction.
        C_im: Imaginary part.
        D: Element-wise feed-through.
        factor: 2 if the other half of the spectrum is not stored, since it adds the complex conjugate.
    """
    H, P = u.shape[-1], states[0].shape[-1]
    re, im = (plane.reshape(H, -1, 1, P) for plane in (C_re, C_im))
    C = factor * jnp.concatenate([re, -im], axis=2).reshape(H, -1)  # direction after direction, plane after plane
    x = [one.reshape(*u.shape[:2], -1).astype(u.dtype) for one in states]
    # Joining the directions copies the states; reading them apart adds up outputs. The narrower one is cheaper.
    if 2 * P * len(x) <= H:
        x = [jnp.concatenate(x, axis=-1)]
    y = D * u
    for one, columns in zip(x, jnp.split(C, len(x), axis=1), strict=True):
        y += matmul_transposed(one, columns, jnp.float32)
    return y.astype(u.dtype)
