import math

import numpy as np
import pytest
import scipy.linalg

from s5.config.choices import Measure
from s5.ssm.hippo import make_hippo
from s5.ssm.hippo_projection import (
    WINDOWS,
    Rule,
    compress,
    discretize,
    discretize_legs,
    evaluate_basis,
    rebuild,
)

N, STEP, L = 12, 0.05, 120
MIDDLES = STEP * (np.arange(L) + 0.5)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
# Each measure's weight on the function that is projected, besides 1 / window.
WEIGHTS_OF_LAG = {Measure.tlagt: lambda lag: np.exp(-lag)}


def smooth(t) -> np.ndarray:
    return 0.3 + np.sin(2 * t) * np.exp(-0.2 * t)


def quadrature(measure: Measure, u: np.ndarray) -> np.ndarray:
    """The projection of a piecewise constant function: each step's integral by Gauss and Legendre's rule."""
    total, elapsed = np.zeros(N), STEP * len(u)
    window = elapsed if measure is Measure.legs else WINDOWS[measure]
    for k, value in enumerate(reversed(u)):
        lag = STEP * (k + (NODES + 1) / 2)
        basis = evaluate_basis(measure, N, lag / elapsed if measure is Measure.legs else lag)
        weight = STEP / 2 * WEIGHTS * WEIGHTS_OF_LAG.get(measure, np.ones_like)(lag)
        total += value * basis @ (weight if math.isinf(window) else weight * (lag < window) / window)
    return total * (2 * np.arange(N) + 1 if measure is Measure.lmu else 1)  # its basis has the norms 1/√(2n + 1)


@pytest.mark.parametrize("measure", WINDOWS, ids=lambda measure: measure.name)
def test_coefficients_are_the_projection_by_quadrature(measure: Measure) -> None:
    periodic = measure in (Measure.fout, Measure.fourier2)  # where a jump at the ends of the window costs accuracy
    u = 0.3 + np.sin(2 * math.pi / WINDOWS[measure] * MIDDLES) if periodic else smooth(MIDDLES)
    want, x = quadrature(measure, u), compress(u, N, measure, STEP)[-1]
    exact = measure in (Measure.legs, Measure.lagt, Measure.tlagt)
    np.testing.assert_allclose(x, want, atol=1e-12 if exact else 0.02 * np.abs(want).max())


@pytest.mark.parametrize("measure", WINDOWS, ids=lambda measure: measure.name)
def test_a_function_in_the_span_of_the_basis_is_rebuilt(measure: Measure) -> None:
    place = np.linspace(0.05, 0.95, 40) * min(WINDOWS[measure], 4.0)
    x = np.random.default_rng(0).standard_normal(N)
    basis = evaluate_basis(measure, N, place)
    past = rebuild(x, place, measure)
    np.testing.assert_allclose(past, sum(c * g for c, g in zip(x, basis, strict=True)), rtol=1e-12)
    if measure in (Measure.legs, Measure.legt, Measure.dss_legt, Measure.lmu):
        degree = np.polynomial.Polynomial.fit(place, past, N - 1)
        np.testing.assert_allclose(degree(place), past, atol=1e-9)


@pytest.mark.parametrize(
    ("measure", "size", "error"),
    [(Measure.legs, 24, 0.003), (Measure.legt, 12, 0.005), (Measure.lmu, 12, 0.005), (Measure.lagt, 200, 0.06),
     (Measure.fourier2, 32, 0.03)],
    ids=lambda value: getattr(value, "name", str(value)),
)  # fmt: skip
def test_a_compressed_function_is_rebuilt(measure: Measure, size: int, error) -> None:
    u, elapsed = smooth(MIDDLES), L * STEP
    window = elapsed if measure is Measure.legs else min(WINDOWS[measure], 3.0)
    lag = elapsed - MIDDLES[(elapsed - MIDDLES) < window]
    x = compress(u, size, measure, STEP)[-1]
    past = rebuild(x, lag / elapsed if measure is Measure.legs else lag, measure)
    assert np.sqrt(np.mean((past - smooth(elapsed - lag)) ** 2)) < error


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.name)
def test_a_rule_is_its_definition(rule: Rule) -> None:
    A, B, _ = make_hippo(Measure.legs, 5)
    eye, k = np.eye(5), 3
    inverse = np.linalg.inv
    want = {
        Rule.forward: (eye + A / k, B / k),
        Rule.backward: (inverse(eye - A / k), inverse(eye - A / k) @ B / k),
        Rule.bilinear: (inverse(eye - A / 2 / k) @ (eye + A / 2 / k), inverse(eye - A / 2 / k) @ B / k),
        Rule.zoh: (
            scipy.linalg.expm(A * math.log((k + 1) / k)),
            inverse(A) @ (scipy.linalg.expm(A * math.log((k + 1) / k)) - eye) @ B,
        ),
    }[rule]
    for got, expected in zip(discretize_legs(5, k, rule), want, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-13)


@pytest.mark.parametrize("measure", [Measure.legs, Measure.legt], ids=lambda measure: measure.name)
def test_every_rule_approaches_the_exact_one(measure: Measure) -> None:
    errors = {}
    for refine in (4, 8):
        fine = smooth((np.arange(30 * refine) + 0.5) * STEP / refine)
        exact = compress(fine, 4, measure, STEP / refine)[-1]
        for rule in (Rule.forward, Rule.backward, Rule.bilinear):
            got = compress(fine, 4, measure, STEP / refine, rule)[-1]
            errors.setdefault(rule, []).append(np.abs(got - exact).max())
    for coarse, fine in errors.values():
        assert fine < 0.7 * coarse


def test_a_singular_operator_is_discretised() -> None:
    A, B, _ = make_hippo(Measure.fout, 4)
    A_bar, B_bar = discretize(A, B, 0.1, Rule.zoh)
    assert np.isfinite(A_bar).all()
    np.testing.assert_allclose(A @ B_bar, (A_bar - np.eye(4)) @ B, atol=1e-14)


def test_an_operator_without_basis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"operator foud has no basis .* these have: legs, legt,"):
        rebuild(np.ones(4), np.ones(3), Measure.foud)
