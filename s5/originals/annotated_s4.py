"""The layouts of the Annotated S4 (github.com/srush/annotated-s4): classification models of S4, S4D or DSS in Flax.

Its layers have N complex states and no conjugate pairs: the kernel is the real part of a sum over N states. Ours is
twice the real part, with all N of them stored, so C is half of theirs and `d_state` is 2 N.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from s5.config.choices import Activation, Discretization, Head, Measure, Norm
from s5.errors import UserError
from s5.originals.layout import Context, Facts, Layout, Row, Source
from s5.originals.rows import as_complex, flax_dense, flax_layer_norm, mapped, parts
from s5.originals.s5_repository import OURS, TRAINING_STATE

_LAYER = "params.layers_*"
_SSM = f"{_LAYER}.seq"

# Its kernels limit the real parts to this, and its softmax adds this to the square of the sum.
_LEAST_DECAY, _EPSILON = 1e-4, 1e-7


def _model_rows() -> tuple[Row, ...]:
    return (
        *flax_dense("params.encoder", "encoder"),
        mapped(f"{_SSM}.D", f"{OURS}.ssm.D", lambda D: D[0], "without the first axis"),
        *flax_dense(f"{_LAYER}.out", f"{OURS}.gate.value"),
        *flax_dense(f"{_LAYER}.out2", f"{OURS}.gate.gate"),
        *flax_layer_norm(f"{_LAYER}.norm", f"{OURS}.norm"),
        *flax_dense("params.decoder", "head.decoder"),
    )


def _log_decay(re: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(-re, _LEAST_DECAY)).T


def _eigenvalue_rows(re: str, im: str) -> tuple[Row, ...]:
    return (
        mapped(f"{_SSM}.{re}", f"{OURS}.ssm.log_decay", _log_decay, "log(max(−A, 1e-4)), transposed"),
        mapped(f"{_SSM}.{im}", f"{OURS}.ssm.Lambda_im", np.transpose, "transposed"),
    )


def _ones(re: str) -> Row:
    """Return the row of our S4D's B, which these layers do not have."""
    return parts((f"{_SSM}.{re}",), f"{OURS}.ssm.B", lambda _, arrays: np.ones_like(arrays[0].T), "1 for all states")


def _softmax_weights(context: Context, arrays: list[np.ndarray]) -> np.ndarray:
    """Return C of the S4D layer whose kernel is that of DSS: W / Lambda times a softmax over the steps."""
    W, Lambda, step = as_complex(arrays[0])[0], (arrays[1] + 1j * arrays[2]).T, np.exp(arrays[3]).T
    if np.any(Lambda.real >= 0):
        raise UserError(
            f"{np.sum(Lambda.real >= 0)} of {Lambda.size} eigenvalues have a real part that is not negative; an S4D "
            "layer cannot represent them"
        )
    grown = np.expm1(Lambda * step)
    total = np.expm1(Lambda * step * context.need_length()) / grown
    # The gain of a zero-order hold, grown / Lambda, is in our kernel.
    return W / Lambda * total.conj() / (abs(total) ** 2 + _EPSILON) * Lambda / grown / 2


def _dplr(context: Context, arrays: list[np.ndarray]) -> np.ndarray:
    """Return C of the system from C̃ = (I − Ā^L)* C, in which the original's kernel is computed by an FFT."""
    C, re, im, P, step = as_complex(arrays[0]).T, arrays[1].T, arrays[2].T, arrays[3].T, np.exp(arrays[4][0])
    Lambda = np.minimum(re, -_LEAST_DECAY) + 1j * im
    eye = np.eye(Lambda.shape[1])
    half = step[:, None, None] / 2 * (Lambda[..., None] * eye - P[:, :, None] * P[:, None].conj())
    A_bar = np.linalg.solve(eye - half, eye + half)
    grown = eye - np.linalg.matrix_power(A_bar, context.need_length())
    return np.linalg.solve(np.swapaxes(grown, 1, 2), C.conj()[..., None])[..., 0] / 2


def _two_ranks(_: Context, arrays: list[np.ndarray]) -> np.ndarray:
    """Return the two rows that act on real and imaginary parts as the complex P P* does."""
    P = arrays[0].T
    return np.stack([P, 1j * P], axis=1) / np.sqrt(2)


def _s4d_rows() -> tuple[Row, ...]:
    half = "last axis to complex, transposed, divided by 2"
    C = parts((f"{_SSM}.C",), f"{OURS}.ssm.C", lambda _, arrays: as_complex(arrays[0]).T / 2, half)
    step = mapped(f"{_SSM}.log_step", f"{OURS}.ssm.log_step", np.transpose, "transposed")
    return *_eigenvalue_rows("A_re", "A_im"), _ones("A_re"), C, step


def _dss_rows() -> tuple[Row, ...]:
    theirs = tuple(f"{_SSM}.{name}" for name in ("W", "Lambda_re", "Lambda_im", "log_step"))
    does = "W / (2 Λ) over the softmax's sum and the gain of a zero-order hold"
    step = mapped(f"{_SSM}.log_step", f"{OURS}.ssm.log_step", np.transpose, "transposed")
    C = parts(theirs, f"{OURS}.ssm.C", _softmax_weights, does)
    return *_eigenvalue_rows("Lambda_re", "Lambda_im"), _ones("Lambda_re"), C, step


def _s4_rows() -> tuple[Row, ...]:
    theirs = tuple(f"{_SSM}.{name}" for name in ("C", "Lambda_re", "Lambda_im", "P", "log_step"))
    return (
        *_eigenvalue_rows("Lambda_re", "Lambda_im"),
        parts((f"{_SSM}.P",), f"{OURS}.ssm.P", _two_ranks, "(P, iP)/√2 as two ranks, transposed"),
        parts((f"{_SSM}.B",), f"{OURS}.ssm.B", lambda _, arrays: arrays[0].T, "transposed"),
        parts(theirs, f"{OURS}.ssm.C", _dplr, "C̃* (I − Ā^L)⁻¹ / 2, transposed, with L = length"),
        mapped(f"{_SSM}.log_step", f"{OURS}.ssm.log_step", lambda step: step[0], "without the first axis"),
    )


def _reader(eigenvalues: str, layer: Mapping[str, tuple[Any, ...]]) -> Callable[[Source, Mapping[str, Any]], Facts]:
    def read(source: Source, said: Mapping[str, Any]) -> Facts:
        del said
        d_input, d_model = source.shape("params.encoder.kernel")
        glu = source.has(f"{_LAYER}.out2.kernel")
        return Facts(
            allowed={
                "n_layers": (source.n_layers(f"{_SSM}.{eigenvalues}"),),
                "d_model": (d_model,),
                "d_state": (2 * source.shape(f"{_SSM}.{eigenvalues}")[0],),
                "bidirectional": (False,),
                "activation": (Activation.full_glu if glu else Activation.gelu_dense,),
                "norm": (Norm.layer,),
                "n_ssm": (None, d_model),
                **layer,
            },
            usual={},
            d_input=d_input,
            d_output=source.shape("params.decoder.bias")[0],
            heads=(Head.classification,),
        )

    return read


_DIAGONAL = {"discretization": (Discretization.zoh,), "dt_tie": (True,), "bandlimit": (None,)}
# LegT has a low-rank part of rank 2 too.
_LOW_RANK = {"discretization": (Discretization.bilinear,), "dt_tie": (False,), "measure": (Measure.legt,)}
_NO_B = (f"{_SSM}.B_re", f"{_SSM}.B_im")

ANNOTATED_S4 = Layout(
    "s4", (*_model_rows(), *_s4_rows()), _reader("Lambda_re", _LOW_RANK), root="params", unused=TRAINING_STATE
)
ANNOTATED_S4D = Layout(
    "s4d", (*_model_rows(), *_s4d_rows()), _reader("A_re", _DIAGONAL), root="params", unused=(*TRAINING_STATE, *_NO_B)
)
ANNOTATED_DSS = Layout(
    "s4d", (*_model_rows(), *_dss_rows()), _reader("Lambda_re", _DIAGONAL), root="params", unused=TRAINING_STATE
)
