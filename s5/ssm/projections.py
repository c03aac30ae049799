"""The matrix products before and after a diagonal recurrence: from inputs to states, and from states to outputs.

Complex numbers are stored as real and imaginary parts, so the products are real. They are computed in the precision of
the inputs and added up in float32.
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
    """Return B u, real and imaginary parts, with zeros at padded steps.

    Args:
        u: Inputs.
        B_re: Real part of the input matrix.
        B_im: Imaginary part of the input matrix.
        mask: True at valid steps; None if all are.
    """
    B = jnp.concatenate([B_re, B_im])
    Bu = matmul_transposed(u, B, jnp.float32).reshape(*u.shape[:2], 2, -1)
    # Padded steps are zero, so the state of the backward direction is still zero at the last valid step.
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
        states: The states of each direction: real and imaginary parts.
        u: Inputs.
        C_re: Real part of the output matrix: P columns for each direction.
        C_im: Imaginary part of the output matrix.
        D: Element-wise feed-through.
        factor: 2 under conjugate symmetry: the states that are not stored add the complex conjugate. Else 1.
    """
    H, P = u.shape[-1], states[0].shape[-1]
    re, im = (part.reshape(H, -1, 1, P) for part in (C_re, C_im))
    C = factor * jnp.concatenate([re, -im], axis=2).reshape(H, -1)  # columns by direction, then by part
    x = [one.reshape(*u.shape[:2], -1).astype(u.dtype) for one in states]
    # Joining the directions copies the states; separate products add up the outputs. Move the smaller array.
    if 2 * P * len(x) <= H:
        x = [jnp.concatenate(x, axis=-1)]
    y = D * u
    for one, columns in zip(x, jnp.split(C, len(x), axis=1), strict=True):
        y += matmul_transposed(one, columns, jnp.float32)
    return y.astype(u.dtype)
