"""The DSS layer. Source: Gupta et al. 2022 (arXiv:2203.14343) and the options of its repository."""

from typing import final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Complex128, Float, Float64

from s5.config.choices import DSSVersion
from s5.nn.initializers import as_generator, to_float32
from s5.nn.params import OutputParam, StateParam, StepParam
from s5.ssm.diagonal import IMPULSE, ZOH, DiagonalSSM, System, complex_product
from s5.ssm.hippo import make_hippo_normal
from s5.ssm.initializers import init_log_step
from s5.ssm.vandermonde import unit_power

# Largest real part of an eigenvalue in the version `clip`.
_LARGEST_REAL_PART = 1e-4

# Keep reciprocals of eigenvalues, as in the paper, and of the kernels' sums finite at zero.
_EPSILON, _EPSILON_SUM = 1e-7, 1e-14


@final
class DSS(DiagonalSSM):
    """A diagonal state space model with one input and one output for each feature, and the same eigenvalues for all.

    The kernel at lag l is Re Σ_n W_n / Lambda_n (e^(a_n) − 1) e^(a_n l), with a = Lambda step, and y adds D u. The
    version decides how Lambda is kept in range:

    - `softmax`: the kernel of each state is divided by its sum over `l_max` steps, so Lambda may grow.
    - `exp`: the real parts are −exp of their parameter. `exp_re_im`: the imaginary parts are exp of theirs, too.
    - `clip`: real parts above 1e-4 are replaced by 1e-4.

    The window of `softmax` is a part of the layer: `l_max` regular steps of the training data, whatever the length of
    a sequence. So padding, chunks of a stream and another rate change nothing. A stream may be longer than the window;
    states that grow then leave the range in which they are bounded. A recurrence loses the states that grow by more
    than e^170 over the window: float32 has no numbers for them. The kernel has them.

    Lambda_re, Lambda_im: (N,), parameters of the real and the imaginary parts of Lambda.
    W_re, W_im: (H, N), real and imaginary parts of W; (H, 2N) for two directions, the forward direction first.
    D: (H,), element-wise feed-through.
    log_step: (H, 2), logarithm of the step sizes of the real and of the imaginary parts; (H, 1) if they are one.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        version: DSSVersion | str = DSSVersion.softmax,
        scale: bool = True,
        l_max: int = 1024,
        sep_dt_re_im: bool = True,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        bidirectional: bool = False,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Draw the initial values, in float64.

        Args:
            d_model: H, number of input and output features.
            d_state: N, number of complex states of a feature.
            version: How the eigenvalues are kept in range.
            scale: Keep the factor (e^a − 1)/Lambda of the kernel. `softmax` always has it.
            l_max: Number of regular steps over which `softmax` normalises; other versions do not use it.
            sep_dt_re_im: Give the real and the imaginary parts of the eigenvalues step sizes of their own.
            dt_min: Smallest initial step size.
            dt_max: Largest initial step size.
            bidirectional: Add a second kernel, from the last step to the first.
            step_rescale: Factor on every step size.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.
        """
        H, N, rng, version = d_model, d_state, as_generator(rngs), DSSVersion(version)
        parameters = _initial_parameters(version, make_hippo_normal(2 * N)[0][N:])
        self.Lambda_re, self.Lambda_im = (StateParam(to_float32(part)) for part in parameters)
        columns = (H, N * (1 + bidirectional))
        self.W_re, self.W_im = (OutputParam(to_float32(rng.standard_normal(columns))) for _ in range(2))
        self.D = OutputParam(to_float32(rng.standard_normal(H)))
        sizes = (H, 1 + sep_dt_re_im)
        self.log_step = StepParam(to_float32(init_log_step(rng, sizes[0] * sizes[1], dt_min, dt_max).reshape(sizes)))
        self.d_model, self.n_states, self.bidirectional, self.step_rescale = H, N, bidirectional, step_rescale
        self.version, self.scale, self.l_max = version, scale, l_max

    def make_system(self, factor: float | Float[Array, ""]) -> System:
        """Return the systems of all features; see `DiagonalSSM`."""
        del factor
        step = jnp.exp(self.log_step[...])
        re, im = self._eigenvalues()
        eigenvalues = jnp.stack([re, im])[:, None]
        Lambda = jnp.stack([re * step[:, :1], im * step[:, -1:]])
        W = jnp.stack([self.W_re[...], self.W_im[...]]).reshape(2, self.d_model, -1, self.n_states).swapaxes(1, 2)
        if not self.scale:
            return System(Lambda, W, self.D[...], IMPULSE)
        # The gain is (e^a − 1)/a, but the paper divides by the eigenvalues. With two step sizes their ratio is complex.
        weight = complex_product(_reciprocal(eigenvalues), Lambda)[:, None]
        if self.version is not DSSVersion.softmax:
            return System(Lambda, complex_product(weight, W), self.D[...], ZOH)
        decays = jnp.where(Lambda[0] > 0, -Lambda, Lambda)
        by_sum = complex_product(_reciprocal(_grown(decays, self.l_max), _EPSILON_SUM), decays)
        weight = complex_product(_reciprocal(eigenvalues), by_sum)[:, None]
        return System(Lambda, complex_product(weight, W), self.D[...], ZOH, self.l_max)

    def _eigenvalues(self) -> tuple[Array, Array]:
        re, im = self.Lambda_re[...], self.Lambda_im[...]
        match self.version:
            case DSSVersion.softmax:
                return re, im
            case DSSVersion.exp:
                return -jnp.exp(re), im
            case DSSVersion.exp_re_im:
                return -jnp.exp(re), jnp.exp(im)
            case DSSVersion.clip:
                return jnp.minimum(re, _LARGEST_REAL_PART), im


def _initial_parameters(
    version: DSSVersion, Lambda: Complex128[np.ndarray, " N"]
) -> tuple[Float64[np.ndarray, " N"], Float64[np.ndarray, " N"]]:
    """Return the parameters for which the eigenvalues are Lambda: real and imaginary parts, or their logarithms."""
    match version:
        case DSSVersion.softmax | DSSVersion.clip:
            return np.real(Lambda), np.imag(Lambda)
        case DSSVersion.exp:
            return np.log(-np.real(Lambda)), np.imag(Lambda)
        case DSSVersion.exp_re_im:
            return np.log(-np.real(Lambda)), np.log(np.imag(Lambda))


def _grown(a: Float[Array, "2 H N"], n: int) -> Float[Array, "2 H N"]:
    """Return e^(a n) − 1, without cancellation near 0 and without rounding the phase of a n."""
    cos, sin = unit_power(a[1] / 2, n)
    less_one = jnp.expm1(a[0] * n)
    return jnp.stack([less_one * (1 - 2 * sin**2) - 2 * sin**2, (less_one + 1) * 2 * sin * cos])


def _reciprocal(z: Float[Array, "2 ..."], epsilon: float = _EPSILON) -> Float[Array, "2 ..."]:
    """Return 1/z, finite and smooth at z = 0."""
    return jnp.stack([z[0], -z[1]]) / (z[0] ** 2 + z[1] ** 2 + epsilon)
