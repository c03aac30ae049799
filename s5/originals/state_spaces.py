"""The layouts of version 4 of the S4 repository (github.com/state-spaces/s4): S4D (`mode: diag`) and S4 (`nplr`)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from s5.config.choices import Activation, Discretization, Gelu, Measure
from s5.config.families import S4DConfig
from s5.errors import UserError
from s5.originals.layout import Context, Facts, Layout, Row, Source
from s5.originals.rows import as_complex, mapped, parts, torch_dense, torch_glu
from s5.originals.s4_backbone import (
    LAYER,
    RENAMES,
    TORCH_STATE,
    check_undone,
    encoder_rows,
    norm_rows,
    read_norm,
    read_sizes,
)
from s5.originals.s5_repository import OURS
from s5.ssm.hippo import make_hippo

_SSM = f"{LAYER}.layer.layer"
_KERNEL = f"{_SSM}.kernel"

_SWITCHES = {
    "dt_transform": ("softplus", "exp"),
    "real_transform": ("exp", "none", "relu", "sigmoid", "softplus"),
    "imag_transform": ("none", "exp", "relu", "sigmoid", "softplus"),
}


def _transform(raw: np.ndarray, kind: str) -> np.ndarray:
    """Return the positive numbers that the repository stores in one of its forms."""
    match kind:
        case "exp":
            return np.exp(raw)
        case "relu":
            return np.maximum(raw, 0) + 1e-4
        case "sigmoid":
            return 1 / (1 + np.exp(-raw))
        case "softplus":
            return np.logaddexp(raw, 0)
        case _:
            return raw


class _System(NamedTuple):
    """The continuous systems of all features; see the names in the S4 repository.

    Attributes:
        A: (H, N) eigenvalues, half of the conjugate pairs.
        P: (rank, H, N) low-rank part; rank 0 for S4D.
        B: (H, N).
        C: (channels, H, N).
        step: (H, 1) or (H, N).
    """

    A: np.ndarray
    P: np.ndarray
    B: np.ndarray
    C: np.ndarray
    step: np.ndarray


def _system(context: Context, arrays: list[np.ndarray]) -> _System:
    """Return the systems from the arrays C, B, A_real, A_imag, inv_dt and, for S4, P and l_kernel."""
    C, B, re, im, raw_step = as_complex(arrays[0]), as_complex(arrays[1])[0], *arrays[2:5]
    switches = context.switches
    A = -_transform(re, switches["real_transform"]) - 1j * _transform(im, switches["imag_transform"])
    P = as_complex(arrays[5]) if len(arrays) > 5 else np.zeros((0, *A.shape), complex)
    repeat = C.shape[1] // A.shape[0]
    return _System(
        np.tile(A, (repeat, 1)),
        np.tile(P, (1, repeat, 1)),
        np.tile(B, (repeat, 1)),
        C,
        _transform(raw_step, switches["dt_transform"]),
    )


def _diagonal(context: Context, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the parts of C, and D, of S4D; the last array is D."""
    system, D = _system(context, arrays[:-1]), arrays[-1][0]
    if not context.config.bidirectional:
        return np.real(system.C[0]), np.imag(system.C[0]), D
    assert isinstance(context.config, S4DConfig)
    z = system.A * system.step
    if context.config.discretization is Discretization.zoh:
        gain, back = np.expm1(z) / system.A, np.exp(-z)
    else:
        gain, back = system.step / (1 - z / 2), (1 - z / 2) / (1 + z / 2)
    check_undone(abs(back).max())
    second = system.C[1] * back
    C = np.concatenate([system.C[0], second], axis=1)
    return np.real(C), np.imag(C), D - 2 * np.real((second * gain * system.B).sum(1))


def _low_rank(context: Context, arrays: list[np.ndarray]) -> np.ndarray:
    """Return C of S4, which is stored as C (I − Ā^L) with L = l_kernel, the last array.

    A state is a vector of both halves of the conjugate pairs.
    """
    system, length = _system(context, arrays[:-1]), int(arrays[-1].item())
    A, P = (np.concatenate([part, part.conj()], axis=-1) for part in (system.A, system.P))
    C = np.concatenate([system.C, system.C.conj()], axis=-1)
    if length:  # 0: the layer has never been used, and C is as it was drawn
        eye = np.eye(A.shape[-1])
        half = system.step[:, :, None] / 2 * (A[..., None] * eye - np.einsum("rhn,rhm->hnm", P, P.conj()))
        grown = eye - np.linalg.matrix_power(np.linalg.solve(eye - half, eye + half), length)
        C = np.linalg.solve(np.swapaxes(grown, 1, 2), C[..., None])[..., 0]
    return np.concatenate(C[:, :, : system.A.shape[-1]], axis=1)


def _log(switch: str, then: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Callable[..., tuple[np.ndarray, ...]]:
    return lambda context, arrays: (np.log(then(_transform(arrays[0], context.switches[switch]))),)


def _state_rows() -> tuple[Row, ...]:
    return (
        Row((f"{_KERNEL}.A_real",), (f"{OURS}.ssm.log_decay",), _log("real_transform"), "log of its `real_transform`"),
        Row(
            (f"{_KERNEL}.A_imag",),
            (f"{OURS}.ssm.Lambda_im",),
            lambda context, arrays: (-_transform(arrays[0], context.switches["imag_transform"]),),
            "minus its `imag_transform`",
        ),
        parts((f"{_KERNEL}.B",), f"{OURS}.ssm.B", lambda _, arrays: as_complex(arrays[0])[0], "last axis to complex"),
    )


def _s4d_rows() -> tuple[Row, ...]:
    names = tuple(f"{_KERNEL}.{name}" for name in ("C", "B", "A_real", "A_imag", "inv_dt"))
    does = "last axis to complex; if bidirectional, C_2 Λ̄⁻¹ and D − 2 Re(C_2 Λ̄⁻¹ B̄)"
    step = Row((f"{_KERNEL}.inv_dt",), (f"{OURS}.ssm.log_step",), _log("dt_transform"), "log of its `dt_transform`")
    ours = tuple(f"{OURS}.ssm.{name}" for name in ("C_re", "C_im", "D"))
    return *_state_rows(), Row((*names, f"{_SSM}.D"), ours, _diagonal, does), step


def _s4_rows() -> tuple[Row, ...]:
    names = tuple(f"{_KERNEL}.{name}" for name in ("C", "B", "A_real", "A_imag", "inv_dt", "P", "l_kernel"))
    step = _log("dt_transform", lambda step: step[:, 0])
    return (
        *_state_rows(),
        parts(
            (f"{_KERNEL}.P",),
            f"{OURS}.ssm.P",
            lambda _, arrays: np.swapaxes(as_complex(arrays[0]), 0, 1),
            "last axis to complex, the rank as axis 1",
        ),
        parts(names, f"{OURS}.ssm.C", _low_rank, "C̃ (I − Ā^L)⁻¹ with L = l_kernel"),
        mapped(f"{_SSM}.D", f"{OURS}.ssm.D", lambda D: D[0], "without the first axis"),
        Row(
            (f"{_KERNEL}.inv_dt",), (f"{OURS}.ssm.log_step",), step, "log of its `dt_transform`, without the last axis"
        ),
    )


def _model_rows() -> tuple[Row, ...]:
    return (
        *encoder_rows(),
        *torch_glu(f"{LAYER}.layer.output_linear.0", f"{OURS}.gate"),
        *norm_rows(f"{LAYER}.norm.norm", f"{OURS}.norm"),
        *norm_rows("model.norm.norm", "norm"),
        *torch_dense("decoder", "head.decoder"),
    )


def _common(source: Source, kernel: str) -> dict[str, tuple[Any, ...]]:
    channels, d_model = source.shape(f"{kernel}.C")[:2]
    outputs = source.shape(f"{_SSM}.D")[0]
    if outputs != 1 or channels > 2:
        raise UserError(f"{source.file}: its layers have {channels} channels, and ours have one for each direction")
    rows = source.shape(f"{LAYER}.layer.output_linear.0.weight")[0]
    n_ssm = source.shape(f"{kernel}.A_real")[0]
    return {
        "n_layers": (source.n_layers(f"{kernel}.C"),),
        "d_model": (d_model,),
        "d_state": (2 * source.shape(f"{kernel}.A_real")[1],),
        "bidirectional": (channels == 2,),
        "activation": (Activation.full_glu if rows == 2 * d_model else Activation.gelu_dense,),
        "gelu": (Gelu.exact,),
        "n_ssm": (n_ssm, None) if n_ssm == d_model else (n_ssm,),
        **read_norm(source),
    }


def _read_s4d(source: Source, said: Mapping[str, Any]) -> Facts:
    del said
    allowed = _common(source, _KERNEL) | {"dt_tie": (source.shape(f"{_KERNEL}.inv_dt")[1] == 1,)}
    return Facts(allowed, {}, *read_sizes(source))


def _read_s4(source: Source, said: Mapping[str, Any]) -> Facts:
    del said
    rank = source.shape(f"{_KERNEL}.P")[0]
    steps = source.shape(f"{_KERNEL}.inv_dt")[1]
    if steps != 1:
        raise UserError(f"{source.file}: its S4 has {steps} step sizes for each feature, and ours has one")
    # The measure decides the rank of our P; training replaced its values.
    measures = tuple(one for one in Measure if (P := make_hippo(one, 4).P) is not None and len(P) == rank)
    if not measures:
        raise UserError(f"{source.file}: its low-rank part has the rank {rank}, and ours has 1 or 2")
    allowed = _common(source, _KERNEL)
    allowed |= {"measure": measures, "discretization": (Discretization.bilinear,), "dt_tie": (False,)}
    allowed |= {"late_backward": allowed["bidirectional"]}
    return Facts(allowed, {}, *read_sizes(source))


STATE_SPACES_S4D = Layout(
    "s4d", (*_model_rows(), *_s4d_rows()), _read_s4d, renames=RENAMES, switches=_SWITCHES, unused=TORCH_STATE
)
STATE_SPACES_S4 = Layout(
    "s4", (*_model_rows(), *_s4_rows()), _read_s4, renames=RENAMES, switches=_SWITCHES, unused=TORCH_STATE
)
