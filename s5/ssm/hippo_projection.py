"""HiPPO as compression: from a function to the coefficients of its past, and back. In float64 NumPy.

At a time t, the coefficients x approximate the past of u: u(t − lag) ≈ Σ_n x_n g_n(lag). A measure chooses the basis g
and how the past is weighted. Sources: Gu et al. 2020 (arXiv:2008.07669) for LegS, LegT and LagT; Voelker et al. 2019
for LMU; Gu et al. 2022 (arXiv:2206.12037) for FouT.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.polynomial import Laguerre, Legendre
from scipy.linalg import expm

from s5.config.choices import Choice, Measure
from s5.ssm.hippo import make_hippo


class Rule(Choice):
    """The rule that discretizes x' = A x + B u over one step, in which u is constant."""

    forward = "forward"
    backward = "backward"
    bilinear = "bilinear"
    zoh = "zoh"


# Length of the past that a measure sees, in units of time; LegS sees the whole past, and its lag is a fraction of it.
WINDOWS = {
    Measure.legs: 1.0,
    Measure.legt: 2.0,
    Measure.dss_legt: 1.0,
    Measure.lmu: 1.0,
    Measure.lagt: math.inf,
    Measure.tlagt: math.inf,
    Measure.fout: 2.0,
    Measure.fourier2: 1.0,
}


def discretize(
    A: Float64[np.ndarray, "N N"], B: Float64[np.ndarray, " N"], step: float, rule: Rule
) -> tuple[Float64[np.ndarray, "N N"], Float64[np.ndarray, " N"]]:
    """Return A_bar and B_bar of one step, x ← A_bar x + B_bar u, of a dense system.

    Args:
        A: State matrix, in 1/time.
        B: Input matrix.
        step: Size of the step, in units of time.
        rule: The rule; `zoh` is exact for a constant input.
    """
    N = B.size
    if rule is Rule.zoh:
        system = np.zeros((N + 1, N + 1))  # the input as one more state, which is constant: A may be singular
        system[:N, :N], system[:N, N] = A, B
        exact = expm(step * system)
        return exact[:N, :N], exact[:N, N]
    implicit = {Rule.forward: 0.0, Rule.bilinear: 0.5, Rule.backward: 1.0}[rule]
    eye = np.eye(N)
    right = np.concatenate([eye + (1 - implicit) * step * A, step * B[:, None]], axis=1)
    solved = np.linalg.solve(eye - implicit * step * A, right)
    return solved[:, :N], solved[:, N]


def discretize_legs(N: int, k: int, rule: Rule) -> tuple[Float64[np.ndarray, "{N} {N}"], Float64[np.ndarray, " {N}"]]:
    """Return A_bar and B_bar of LegS for the step from time k to time k + 1.

    The equation is t x'(t) = A x(t) + B u(t). The first three rules take A/k and B/k for A and B, as the paper does.
    `zoh` is exact for a constant input: in the time ln t, the equation does not depend on time.

    Args:
        N: Number of coefficients.
        k: The time before the step, in units of the step, from 1.
        rule: The rule. `forward` is unstable in the first N steps, whose coefficients grow before they shrink.
    """
    A, B, _ = make_hippo(Measure.legs, N)
    return discretize(A, B, math.log1p(1 / k) if rule is Rule.zoh else 1 / k, rule)


def compress(
    u: Float64[np.ndarray, " L"],
    N: int,
    measure: Measure | str = Measure.legs,
    step: float = 1.0,
    rule: Rule | str = Rule.zoh,
) -> Float64[np.ndarray, "L {N}"]:
    """Return the coefficients of the past of a function after each of its steps.

    With `zoh`, those of LegS and of the Laguerre measures are the exact projections of the piecewise constant function.
    Those of the measures with a window are approximations, also of the function before the window's end: an operator of
    N coefficients knows only its own approximation of what leaves the window.

    Args:
        u: The function in the middle of each step, or constant in each.
        N: Number of coefficients.
        measure: The measure. The input is zero before the first step, except for LegS, which begins with it.
        step: Size of a step, in units of time; LegS does not depend on it.
        rule: How the operator's equation is discretised.
    """
    found, measure, rule = np.zeros((u.size, N)), Measure(measure), Rule(rule)
    if measure is Measure.legs:
        found[0, 0] = u[0]
        for k in range(1, u.size):
            A_bar, B_bar = discretize_legs(N, k, rule)
            found[k] = A_bar @ found[k - 1] + B_bar * u[k]
        return found
    A, B, _ = make_hippo(measure, N)
    A_bar, B_bar = discretize(A, B, step, rule)
    x = np.zeros(N)
    for k, value in enumerate(u):
        x = found[k] = A_bar @ x + B_bar * value
    return found


def rebuild(
    x: Float64[np.ndarray, "*axes N"], lag: Float64[np.ndarray, " points"], measure: Measure | str = Measure.legs
) -> Float64[np.ndarray, "*axes points"]:
    """Return the past that coefficients describe: Σ_n x_n g_n(lag).

    Args:
        x: The coefficients.
        lag: How long ago, in units of time; for LegS as a fraction of the time since the beginning.
        measure: The measure of the coefficients.
    """
    return x @ evaluate_basis(measure, x.shape[-1], lag)


def evaluate_basis(
    measure: Measure | str, N: int, lag: Float64[np.ndarray, " points"]
) -> Float64[np.ndarray, "{N} points"]:
    """Return the basis functions g_n(lag) of a measure.

    Args:
        measure: One with a basis: `WINDOWS` has them.
        N: Number of functions.
        lag: How long ago, in units of time; for LegS as a fraction of the time since the beginning.

    Raises:
        ValueError: If the measure is an operator without a basis.
    """
    measure = Measure(measure)
    if measure not in WINDOWS:
        names = ", ".join(one.name for one in WINDOWS)
        raise ValueError(
            f"the operator {measure.name} has no basis in which a function is rebuilt; these have: {names}"
        )
    return _BASES[measure](N, lag / (1.0 if math.isinf(WINDOWS[measure]) else WINDOWS[measure]))


def _legendre(N: int, place: Float64[np.ndarray, " points"]) -> Float64[np.ndarray, "{N} points"]:
    """Return √(2n + 1) P_n(1 − 2 place), orthonormal on [0, 1]."""
    return np.stack([math.sqrt(2 * n + 1) * Legendre.basis(n)(1 - 2 * place) for n in range(N)])


def _shifted_legendre(N: int, place: Float64[np.ndarray, " points"]) -> Float64[np.ndarray, "{N} points"]:
    return np.stack([Legendre.basis(n)(2 * place - 1) for n in range(N)])


def _laguerre(N: int, lag: Float64[np.ndarray, " points"]) -> Float64[np.ndarray, "{N} points"]:
    return np.stack([Laguerre.basis(n)(lag) for n in range(N)])


def _fourier(N: int, place: Float64[np.ndarray, " points"]) -> Float64[np.ndarray, "{N} points"]:
    """Return 1, 0, then √2 cos and √2 sin of 2πk place: orthonormal on [0, 1], but for the one that is zero."""
    angle = 2 * math.pi * np.arange(N // 2)[:, None] * place
    functions = math.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1).reshape(N, -1)
    functions[0] = 1.0
    return functions


_BASES: dict[Measure, Callable[[int, np.ndarray], np.ndarray]] = {
    Measure.legs: _legendre,
    Measure.legt: _legendre,
    Measure.dss_legt: _legendre,
    Measure.lmu: _shifted_legendre,
    Measure.lagt: lambda N, lag: np.exp(-lag / 2) * _laguerre(N, lag),
    Measure.tlagt: _laguerre,
    Measure.fout: _fourier,
    Measure.fourier2: _fourier,
}
