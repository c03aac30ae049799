from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import LinOSSDiscretization
from s5.nn.steps import Steps
from s5.ssm.linoss import LinOSS

batch, L, H, P = 2, 9, 3, 4
IM, IMEX = LinOSSDiscretization.im, LinOSSDiscretization.imex
KINDS = {
    "im": {"discretization": IM},
    "imex": {"discretization": IMEX},
    "damped": {"discretization": IMEX, "damping": True},
}
kinds = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
TIMES = np.cumsum(np.random.default_rng(5).uniform(0.3, 1.7, (batch, L)), axis=1)


def layer(**options: Any) -> LinOSS:
    return LinOSS(H, P, rngs=np.random.default_rng(0), **options)


def inputs(steps: int = L) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).standard_normal((batch, steps, H)), jnp.float32)


def float64(linoss: LinOSS) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in nnx.to_pure_dict(nnx.state(linoss)).items()}


def definition(linoss: LinOSS, u: Any, gaps: Any = None) -> np.ndarray:
    """The equations of the papers, one oscillator and one step after the other, solved as linear systems in float64."""
    p, u = float64(linoss), np.asarray(u, np.float64)
    gaps = np.ones(u.shape[:2]) if gaps is None else np.asarray(gaps, np.float64)
    A, G, regular = np.maximum(p["A"], 0), np.maximum(p.get("G", np.zeros(P)), 0), 1 / (1 + np.exp(-p["step_logit"]))
    A = np.maximum(A, (2 + regular * G - 2 * np.sqrt(1 + regular * G)) / regular**2)
    Bu = u @ (p["B_re"] + 1j * p["B_im"]).T
    y = p["D"] * u
    for row in range(batch):
        z, x = np.zeros(P, complex), np.zeros(P, complex)
        for k in range(u.shape[1]):
            for n in range(P):
                dt = regular[n] * gaps[row, k]
                if linoss.discretization is IM:  # z_k + dt A x_k = z_{k-1} + dt B u_k, x_k − dt z_k = x_{k-1}
                    left, right = [[1, dt * A[n]], [-dt, 1]], [z[n] + dt * Bu[row, k, n], x[n]]
                else:
                    a = min(A[n], (2 + dt * G[n] + 2 * np.sqrt(1 + dt * G[n])) / dt**2)
                    left = [[1 + dt * G[n], 0], [-dt, 1]]
                    right = [z[n] - dt * a * x[n] + dt * Bu[row, k, n], x[n]]
                z[n], x[n] = np.linalg.solve(np.array(left), np.array(right))
            y[row, k] += ((p["C_re"] + 1j * p["C_im"]) @ x).real
    return y


@kinds
def test_layer_is_the_definition(options: dict[str, Any]) -> None:
    linoss, u = layer(**options), inputs()
    np.testing.assert_allclose(linoss(u), definition(linoss, u), rtol=1e-4, atol=1e-5)
    got = linoss(u, Steps.of(L, times=TIMES, rate=1.5))
    gaps = 1.5 * np.pad(np.diff(TIMES), ((0, 0), (1, 0)), constant_values=1)
    np.testing.assert_allclose(got, definition(linoss, u, gaps), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(step_rescale=1.5, **options)(u), linoss(u, Steps(rate=1.5)), rtol=1e-6, atol=1e-7)
