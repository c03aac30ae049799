import math

import numpy as np
import pytest

from s5.config.choices import FOURIER, CInit, Measure
from s5.nn.initializers import init_lecun_normal, init_truncated_normal
from s5.ssm.hippo import make_block_hippo, make_hippo, make_hippo_legs, make_hippo_normal
from s5.ssm.initializers import init_B, init_C, init_log_step


def normal_part(N) -> np.ndarray:
    p = np.sqrt(np.arange(N) + 0.5)
    return make_hippo_legs(N) + np.outer(p, p)


def test_hippo_legs_is_the_published_matrix() -> None:
    A = make_hippo_legs(4)
    for n in range(4):
        for k in range(4):
            want = -math.sqrt((2 * n + 1) * (2 * k + 1)) if n > k else -(n + 1) if n == k else 0
            assert A[n, k] == pytest.approx(want)


def by_entry(measure: Measure, N: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B as the papers and the code of S4 and DSS define them, one entry after the other."""
    root = [math.sqrt(2 * n + 1) for n in range(N)]

    def legt(n, k) -> float:
        return -root[n] * root[k] * (1 if n >= k else (-1) ** (n - k))

    def rotation(n, k, rate) -> float:
        return rate * (n // 2) * ((n == k + 1) - (k == n + 1)) if n // 2 == k // 2 else 0.0

    def wave(n) -> float:
        return 0.0 if n % 2 else math.sqrt(2) if n else 1.0

    def pair(n, k) -> float:
        return float(n % 2 == k % 2)

    entries = {
        Measure.legs: (lambda n, k: -root[n] * root[k] if n > k else -(n + 1) if n == k else 0, lambda n: root[n]),
        Measure.legt: (lambda n, k: legt(n, k) / 2, lambda n: root[n] / 2),
        Measure.dss_legt: (legt, lambda n: root[n]),
        Measure.lmu: (
            lambda n, k: (2 * n + 1) * ((-1) ** (n - k + 1) if n >= k else -1),
            lambda n: (2 * n + 1) * (-1) ** n,
        ),
        Measure.lagt: (lambda n, k: (n == k) / 2 - (n >= k), lambda n: 1),
        Measure.tlagt: (lambda n, k: -1 * (n >= k), lambda n: 1),
        Measure.glagt: (lambda n, k: -1.01 / 2 if n == k else -1 * (n > k), lambda n: 0.1),
        Measure.fout: (lambda n, k: rotation(n, k, math.pi) - wave(n) * wave(k), wave),
        Measure.fourier_decay: (
            lambda n, k: rotation(n, k, math.pi) - wave(n) * wave(k) / 2,
            lambda n: wave(n) / 2,
        ),
        Measure.fourier2: (lambda n, k: rotation(n, k, math.tau) - 2 * wave(n) * wave(k), lambda n: 2 * wave(n)),
        Measure.foud: (lambda n, k: rotation(n, k, math.tau) - (n == k) / 2, wave),
        Measure.dss_fourier: (lambda n, k: -rotation(n, k, math.tau) - pair(n, k), lambda n: 1 - n % 2),
    }
    entries[Measure.legsd] = (
        lambda n, k: entries[Measure.legs][0](n, k) + root[n] * root[k] / 2,
        lambda n: root[n] / 2,
    )
    of_A, of_B = entries[measure]
    return np.array([[of_A(n, k) for k in range(N)] for n in range(N)]), np.array([of_B(n) for n in range(N)])


measures = pytest.mark.parametrize("measure", Measure, ids=lambda measure: measure.name)
REAL_PART = {Measure.legs: -0.5, Measure.legsd: -0.5, Measure.tlagt: -0.5, Measure.glagt: -0.005, Measure.foud: -0.5}


@measures
def test_an_operator_is_the_published_one(measure: Measure) -> None:
    A, B, _ = make_hippo(measure, 6)
    want_A, want_B = by_entry(measure, 6)
    np.testing.assert_allclose(A, want_A, atol=1e-14)
    np.testing.assert_allclose(B, want_B, atol=1e-14)


@measures
@pytest.mark.parametrize("N", [2, 64])
def test_the_correction_makes_the_operator_normal_and_half_its_spectrum_rebuilds_it(measure: Measure, N: int) -> None:
    A, _, P = make_hippo(measure, N)
    if measure is Measure.lmu:
        assert P is None
        with pytest.raises(ValueError, match="lmu has no low-rank correction"):
            make_hippo_normal(N, measure)
        return
    S = A + sum(np.outer(row, row) for row in P)
    error = 1e-10 * N**2
    np.testing.assert_allclose(S + S.T, 2 * REAL_PART.get(measure, 0.0) * np.eye(N), atol=error)
    Lambda, V = make_hippo_normal(N, measure)
    half, columns = Lambda[: N // 2], V[:, : N // 2]
    np.testing.assert_allclose(2 * (columns * half @ columns.conj().T).real, S, atol=error)
    np.testing.assert_allclose(2 * (columns @ columns.conj().T).real, np.eye(N), atol=1e-12)
    assert (half.imag < 1e-9).all()


def test_ranks_are_those_of_the_papers() -> None:
    ranks = {one: len(P) for one in Measure if (P := make_hippo(one, 4).P) is not None}
    none = {one for one, rank in ranks.items() if rank == 0}
    assert {one for one, rank in ranks.items() if rank == 2} == {Measure.legt, Measure.dss_legt, Measure.dss_fourier}
    assert none == {Measure.legsd, Measure.foud}


def test_an_impossible_operator_is_refused() -> None:
    for measure in FOURIER:
        with pytest.raises(ValueError, match=rf"{measure.name} has pairs of coefficients, so N=5 must be even"):
            make_hippo(measure, 5)
    with pytest.raises(ValueError, match="at least one coefficient, not N=0"):
        make_hippo(Measure.legs, 0)


@pytest.mark.parametrize("N", [1, 2, 7, 64, 256])
def test_eigenvectors_rebuild_hippo(N: int) -> None:
    Lambda, V = make_hippo_normal(N)
    np.testing.assert_allclose(V @ np.diag(Lambda) @ V.conj().T, normal_part(N), atol=1e-9 * N**2)
    np.testing.assert_allclose(V.conj().T @ V, np.eye(N), atol=1e-12 * N)
    np.testing.assert_allclose(Lambda.real, -0.5, atol=1e-10)


@pytest.mark.parametrize("conj_sym", [True, False], ids=["half", "full"])
def test_blocks_rebuild_a_block_diagonal_hippo(conj_sym: bool) -> None:
    Lambda, V = make_block_hippo(24, 3, conj_sym)
    assert V.shape == (24, 12 if conj_sym else 24)
    rebuilt = V @ np.diag(Lambda) @ V.conj().T
    if conj_sym:  # the half that was left out is the complex conjugate
        assert (Lambda.imag < 0).all()
        rebuilt = 2 * rebuilt.real
    np.testing.assert_allclose(rebuilt, np.kron(np.eye(3), normal_part(8)), atol=1e-10)


def test_truncated_normal_has_the_asked_deviation_after_the_cut() -> None:
    draws = init_truncated_normal(np.random.default_rng(0), (400, 500), std=0.3)
    assert draws.std() == pytest.approx(0.3, rel=0.01)
    assert np.abs(draws).max() <= 2 * 0.3 / 0.8796256610342398
    assert init_lecun_normal(np.random.default_rng(0), (400, 500), fan_in=25).std() == pytest.approx(0.2, rel=0.01)


def test_B_is_a_real_matrix_of_variance_one_over_P_in_the_eigenbasis() -> None:
    _, V = make_block_hippo(64, 2, conj_sym=False)
    B = V @ init_B(np.random.default_rng(0), V, 500)
    np.testing.assert_allclose(B.imag, 0, atol=1e-12)
    assert B.real.std() == pytest.approx(1 / 8, rel=0.02)
    assert np.abs(B.real).max() <= 2 / 8 / 0.8796  # in another basis the draws are not cut off


# V has orthonormal columns, so (re + i im) V has the deviation of re + i im.
@pytest.mark.parametrize(
    ("kind", "deviation"),
    [
        (CInit.trunc_standard_normal, 1 / math.sqrt(64)),
        (CInit.lecun_normal, 1 / math.sqrt(64 * 500)),
        (CInit.complex_normal, math.sqrt(0.5)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_C_has_its_published_statistics(kind: CInit, deviation) -> None:
    _, V = make_block_hippo(64, 2, conj_sym=True)
    C = init_C(np.random.default_rng(0), kind, V, 500)
    assert C.shape == (500, 32)
    assert C.real.std() == pytest.approx(deviation, rel=0.02)
    assert C.imag.std() == pytest.approx(deviation, rel=0.02)
    assert abs(C.mean()) < 0.02 * deviation


@pytest.mark.parametrize("kind", [CInit.trunc_standard_normal, CInit.lecun_normal], ids=lambda kind: kind.name)
def test_C_was_drawn_outside_the_eigenbasis(kind: CInit) -> None:
    _, V = make_block_hippo(64, 2, conj_sym=False)
    drawn = init_C(np.random.default_rng(0), kind, V, 500) @ V.conj().T
    for part in (drawn.real, drawn.imag):
        assert np.abs(part).max() <= 2 / 0.8796 * part.std() * 1.02


def test_log_step_is_uniform_in_the_logarithm() -> None:
    log_step = init_log_step(np.random.default_rng(0), 20_000, 1e-3, 1e-1)
    assert math.log(1e-3) <= log_step.min() <= log_step.max() <= math.log(1e-1)
    quartiles = np.quantile(log_step, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(np.exp(quartiles), 10 ** np.array([-2.5, -2, -1.5]), rtol=0.05)


def test_initial_values_repeat_with_their_seed() -> None:
    _, V = make_block_hippo(8, 1, conj_sym=True)
    one, same, other = (init_C(np.random.default_rng(s), CInit.lecun_normal, V, 3) for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
