"""The layout of the DSS repository (github.com/ag1988/dss), which extends version 1 of the S4 repository."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5.config.choices import Activation, DSSVersion, Gelu
from s5.config.families import DSSConfig
from s5.errors import UserError
from s5.originals.layout import Context, Facts, Layout, Row, Source
from s5.originals.rows import as_complex, same, torch_dense, torch_glu
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

_SSM = f"{LAYER}.layer"
_KERNEL = f"{_SSM}.kernel"
_EPSILON = 1e-7


def _outputs(context: Context, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the parts of W, and D, from W, D, log_dt and what stores Lambda."""
    W, D, log_step = as_complex(arrays[0]), arrays[1][0], arrays[2]
    if context.config.bidirectional:
        Lambda = _eigenvalues(context, arrays[3:])
        step = np.exp(log_step.reshape(len(log_step), -1))
        a = np.real(Lambda) * step[:, :1] + 1j * np.imag(Lambda) * step[:, -1:]
        check_undone(np.exp(-np.real(a)).max())
        D = D - (W[1] * _scale(context, Lambda, a) * np.exp(-a)).sum(1).real
        W = np.concatenate([W[0], W[1] * np.exp(-a)], axis=1)
    else:
        W = W[0]
    return np.real(W), np.imag(W), D


def _eigenvalues(context: Context, arrays: list[np.ndarray]) -> np.ndarray:
    assert isinstance(context.config, DSSConfig)
    match context.config.version:
        case DSSVersion.exp:
            return -np.exp(arrays[0]) + 1j * arrays[1]
        case DSSVersion.exp_re_im:
            return -np.exp(arrays[0]) + 1j * np.exp(arrays[1])
        case DSSVersion.clip:
            return np.minimum(arrays[0][:, 0], 1e-4) + 1j * arrays[0][:, 1]
        case DSSVersion.softmax:
            return as_complex(arrays[0])


def _scale(context: Context, Lambda: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return the kernel at lag 0, of a state whose W is 1."""
    assert isinstance(context.config, DSSConfig)
    if not context.config.scale:
        return np.ones_like(a)
    if context.config.version is not DSSVersion.softmax:
        return np.expm1(a) * Lambda.conj() / np.maximum(abs(Lambda) ** 2, _EPSILON)
    length = context.config.l_max
    decays = np.where(np.real(Lambda) > 0, -a, a)
    by = np.expm1(decays * length) * Lambda
    return (
        np.expm1(decays)
        * by.conj()
        / (abs(by) ** 2 + _EPSILON)
        * np.exp(np.where(np.real(Lambda) > 0, decays, 0)) ** (length - 1)
    )


def _output_rows() -> tuple[Row, ...]:
    """Return the rows of W and D, for each form in which Lambda is stored."""
    ours = tuple(f"{OURS}.ssm.{name}" for name in ("W_re", "W_im", "D"))
    common = (f"{_KERNEL}.W", f"{_SSM}.D", f"{_KERNEL}.log_dt")
    does = "last axis to complex; if bidirectional, W_2 e^(−a), and D without the kernel that this adds at lag 0"
    forms = (("Lambda",), ("Lambda_log_neg_re", "Lambda_im"), ("Lambda_log_neg_re", "Lambda_log_im"))
    return tuple(Row((*common, *(f"{_KERNEL}.{name}" for name in form)), ours, _outputs, does) for form in forms)


def _table() -> tuple[Row, ...]:
    eigenvalues = (f"{OURS}.ssm.Lambda_re", f"{OURS}.ssm.Lambda_im")
    return (
        *encoder_rows(),
        Row((f"{_KERNEL}.Lambda",), eigenvalues, lambda _, arrays: (*arrays[0].T,), "the columns"),
        same(f"{_KERNEL}.Lambda_log_neg_re", eigenvalues[0]),
        same(f"{_KERNEL}.Lambda_im", eigenvalues[1]),
        same(f"{_KERNEL}.Lambda_log_im", eigenvalues[1]),
        *_output_rows(),
        Row(
            (f"{_KERNEL}.log_dt",),
            (f"{OURS}.ssm.log_step",),
            lambda _, arrays: (arrays[0].reshape(len(arrays[0]), -1),),
            "with a last axis",
        ),
        *torch_glu(f"{_SSM}.output_linear", f"{OURS}.gate"),
        *torch_glu(f"{_SSM}.output_linear.0", f"{OURS}.gate"),
        *norm_rows(f"{LAYER}.norm.norm", f"{OURS}.norm"),
        *norm_rows("model.norm.norm", "norm"),
        *torch_dense("decoder", "head.decoder"),
    )


def _read(source: Source, said: Mapping[str, Any]) -> Facts:
    channels, d_model, d_state = source.shape(f"{_KERNEL}.W")[:3]
    if source.shape(f"{_SSM}.D")[0] != 1 or channels > 2:
        raise UserError(f"{source.file}: its layers have {channels} channels, and ours have one for each direction")
    if source.has(f"{_KERNEL}.Lambda"):
        versions: tuple[DSSVersion, ...] = (DSSVersion.softmax, DSSVersion.clip)
    else:
        versions = (DSSVersion.exp_re_im if source.has(f"{_KERNEL}.Lambda_log_im") else DSSVersion.exp,)
    if said.get("version", versions[0]) is DSSVersion.softmax and "l_max" not in said:
        raise UserError(
            f"{source.file}: version=softmax needs l_max: its kernels are normalised over the training data's steps",
            hint="give l_max=1024, for example",
        )
    steps = source.shape(f"{_KERNEL}.log_dt")[1:]
    allowed = {
        "n_layers": (source.n_layers(f"{_KERNEL}.W"),),
        "d_model": (d_model,),
        "d_state": (d_state,),
        "bidirectional": (channels == 2,),
        "version": versions,
        "sep_dt_re_im": (steps == (2,),),
        "activation": (Activation.full_glu if source.has(f"{_SSM}.output_linear.0.weight") else Activation.gelu_dense,),
        "gelu": (Gelu.exact,),
        **read_norm(source),
    }
    return Facts(allowed, {}, *read_sizes(source))


DSS_REPOSITORY = Layout("dss", _table(), _read, renames=RENAMES, unused=TORCH_STATE)
