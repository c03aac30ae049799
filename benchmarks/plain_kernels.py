"""Plain layers of S4D, DSS, S4 and LSSL, written like published JAX code; `benchmarks.models` compares ours with them.

They compute in complex64, make the whole Vandermonde, Cauchy or Krylov matrix of every feature, convolve by an FFT of
twice the length, and leave the derivatives to JAX.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

Params = dict[str, Array]


def plain_s4d(params: Params, u: Array) -> Array:
    """Apply an S4D layer of one direction with a zero-order hold.

    Args:
        params: The parameters of `s5.ssm.s4d.S4D` by name.
        u: Inputs, (batch, L, H).

    Returns:
        Outputs, (batch, L, H).
    """
    Lambda = -jnp.exp(params["log_decay"]) + 1j * params["Lambda_im"]
    a = Lambda * jnp.exp(params["log_step"])
    C = (params["C_re"] + 1j * params["C_im"]) * (params["B_re"] + 1j * params["B_im"])
    powers = jnp.exp(a[..., None] * jnp.arange(u.shape[1]))
    kernel = 2 * jnp.einsum("hn,hnl->hl", C * (jnp.exp(a) - 1) / Lambda, powers).real
    return _convolve(kernel, u) + params["D"] * u


def plain_dss(params: Params, u: Array) -> Array:
    """Apply a DSS layer of one direction, version softmax, whose window is the length of the inputs.

    Args:
        params: The parameters of `s5.ssm.dss.DSS` by name.
        u: Inputs, (batch, L, H).

    Returns:
        Outputs, (batch, L, H).
    """
    L = u.shape[1]
    Lambda, step = params["Lambda_re"] + 1j * params["Lambda_im"], jnp.exp(params["log_step"])
    a = params["Lambda_re"] * step[:, :1] + 1j * params["Lambda_im"] * step[:, -1:]
    grows = a.real > 0
    exponents = a[..., None] * (jnp.arange(L) - jnp.where(grows, L - 1, 0)[..., None])
    bounded = jnp.where(grows, -a, a)
    factor = (jnp.exp(bounded) - 1) / (jnp.exp(bounded * L) - 1) / Lambda
    W = params["W_re"] + 1j * params["W_im"]
    return _convolve(jnp.einsum("hn,hnl->hl", W * factor, jnp.exp(exponents)).real, u) + params["D"] * u


def plain_s4(params: Params, u: Array) -> Array:
    """Apply an S4 layer of one direction and rank 1, with the bilinear rule and the kernel by Cauchy sums.

    C is taken for the C of the truncated generating function, as published code does, so the outputs are not those of
    `s5.ssm.s4.S4`; the work is that of the published layer.

    Args:
        params: The parameters of `s5.ssm.s4.S4` by name.
        u: Inputs, (batch, L, H).

    Returns:
        Outputs, (batch, L, H).
    """
    L = u.shape[1]
    Lambda, step = -jnp.exp(params["log_decay"]) + 1j * params["Lambda_im"], jnp.exp(params["log_step"])[:, None]
    P, B, C = (params[f"{name}_re"] + 1j * params[f"{name}_im"] for name in ("P", "B", "C"))
    P = P[:, 0]
    omega = jnp.exp(-2j * jnp.pi * jnp.arange(L // 2) / L)  # without −1, where the sums have a limit only
    g = 2 / step * ((1 - omega) / (1 + omega))

    def cauchy(left: Array, right: Array) -> Array:
        weight, nodes = left * right, jnp.broadcast_to(Lambda, (len(step), Lambda.shape[1]))
        terms = weight[..., None] / (g[:, None] - nodes[..., None])
        mirrored = weight.conj()[..., None] / (g[:, None] - nodes.conj()[..., None])
        return (terms + mirrored).sum(1)

    by_CB, by_CP, by_PB, by_PP = cauchy(C, B), cauchy(C, P), cauchy(P.conj(), B), cauchy(P.conj(), P)
    spectrum = 2 / (1 + omega) * (by_CB - by_CP / (1 + by_PP) * by_PB)
    return _convolve(jnp.fft.irfft(jnp.pad(spectrum, ((0, 0), (0, 1))), L), u) + params["D"] * u


def plain_lssl(params: Params, u: Array) -> Array:
    """Apply an LSSL layer of one direction and one channel, with the trapezoidal rule and the whole Krylov matrix.

    Args:
        params: The parameters and constants of `s5.ssm.lssl.LSSL` by name.
        u: Inputs, (batch, L, H).

    Returns:
        Outputs, (batch, L, H).
    """
    A, B, log_step = lax.stop_gradient((params["A"], params["B"], params["log_step"]))
    step = jnp.exp(log_step)[:, None, None]
    eye = jnp.eye(len(A))
    inverse = jnp.linalg.inv(eye - step / 2 * A)
    power, krylov = inverse @ (eye + step / 2 * A), step * inverse @ B[:, None]
    while krylov.shape[-1] < u.shape[1]:
        krylov, power = jnp.concatenate([krylov, power @ krylov], axis=-1), power @ power
    kernel = jnp.einsum("hn,hnl->hl", params["C"][:, 0], krylov[..., : u.shape[1]])
    return _convolve(kernel, u) + params["D"][:, 0] * u


def _convolve(kernel: Array, u: Array) -> Array:
    L = u.shape[1]
    spectrum = jnp.fft.rfft(u, 2 * L, axis=1) * jnp.fft.rfft(kernel, 2 * L).T
    return jnp.fft.irfft(spectrum, 2 * L, axis=1)[:, :L]
