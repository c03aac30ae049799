"""Plain layers with a recurrence, written like published JAX code; `benchmarks.models` compares ours with them.

They compute the states by `lax.associative_scan`, and leave the derivatives to JAX.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from benchmarks.plain_kernels import Params


def plain_rglru(params: Params, u: Array) -> Array:
    """Apply an RG-LRU layer of one direction.

    Args:
        params: The parameters of `s5.ssm.rglru.RGLRU` by name.
        u: Inputs, (batch, L, H).

    Returns:
        Outputs, (batch, L, H).
    """
    x = jnp.einsum("blh,ph->blp", u, params["B"])
    weight = params["gate_weight"]
    gates = jnp.einsum("blgn,gnm->blgm", x.reshape(*x.shape[:2], *weight.shape[:2]), weight)
    r, i = (part.reshape(x.shape) for part in jnp.split(gates, 2, axis=-1))
    r, i = (jax.nn.sigmoid(gate + bias) for gate, bias in zip((r, i), params["gate_bias"], strict=True))
    log_a = -8 * r * jax.nn.softplus(-params["Lambda"])
    b = jnp.sqrt(1 - jnp.exp(2 * log_a)) * i * x

    def combine(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return second[0] * first[0], second[0] * first[1] + second[1]

    _, states = jax.lax.associative_scan(combine, (jnp.exp(log_a), b), axis=1)
    return jnp.einsum("blp,hp->blh", states, params["C"])


def plain_linoss(params: Params, u: Array) -> Array:
    """Apply a LinOSS layer of one direction, implicit, by a scan over the 2 × 2 matrix of every step.

    Args:
        params: The parameters of `s5.ssm.linoss.LinOSS` by name.
        u: Inputs, (batch, L, H).

    Returns:
        Outputs, (batch, L, H).
    """
    A, step = jax.nn.relu(params["A"]), jax.nn.sigmoid(params["step_logit"])
    B, C = (params[f"{name}_re"] + 1j * params[f"{name}_im"] for name in ("B", "C"))
    s = 1 / (1 + step**2 * A)
    M = jnp.stack([jnp.stack([s, -step * A * s]), jnp.stack([step * s, s])])

    def combine(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        M, (M_first, x) = second[0], first
        product = (M[:, :, :, None] * M_first[:, None]).sum(2)
        return product, (M * x[:, None]).sum(2) + second[1]

    def states(u: Array) -> Array:
        driven = M[:, 0] * (step * (u @ B.T))[:, None]
        each = jnp.broadcast_to(M, (u.shape[0], *M.shape))
        return jax.lax.associative_scan(combine, (each, driven))[1][:, 1]

    return jnp.einsum("blp,hp->blh", jax.vmap(states)(u), C).real + params["D"] * u
