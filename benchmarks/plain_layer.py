"""The plain S5 layer, written like the published implementations; `benchmarks.layer` compares ours with it.

It computes in complex64, with `vmap` over the batch, `associative_scan` over time, and JAX's own derivative.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def plain_layer(params: dict[str, Array], u: Array) -> Array:
    """Apply a layer of one direction, zero-order hold and conjugate symmetry.

    Args:
        params: The parameters of `s5.ssm.s5.S5SSM` by name.
        u: Inputs, (batch, L, H).

    Returns:
        Outputs, (batch, L, H).
    """
    Lambda = params["Lambda_re"] + 1j * params["Lambda_im"]
    B_tilde, C_tilde = params["B_re"] + 1j * params["B_im"], params["C_re"] + 1j * params["C_im"]
    Lambda_bar = jnp.exp(Lambda * jnp.exp(params["log_step"]))
    B_bar = ((Lambda_bar - 1) / Lambda)[:, None] * B_tilde

    def apply(u):
        steps = jnp.broadcast_to(Lambda_bar, (u.shape[0], *Lambda_bar.shape))
        _, x = lax.associative_scan(_combine, (steps, jax.vmap(lambda u: B_bar @ u)(u)))
        y = jax.vmap(lambda x: 2 * (C_tilde @ x).real)(x)
        return y + jax.vmap(lambda u: params["D"] * u)(u)

    return jax.vmap(apply)(u)


def _combine(first, second):
    (a, b), (c, d) = first, second
    return c * a, c * b + d
