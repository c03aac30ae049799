import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import s5
from s5.errors import UserError
from tests.s5.originals.original_models import Draws, Tree, agree, make_torch_arrays, torch_model, two_sided

batch, L, D_IN, H, N, CLASSES, STORED = 2, 8, 3, 4, 3, 5, 8
U = np.random.default_rng(7).standard_normal((batch, L, D_IN)).astype(np.float32)


def make_arrays(layer: str, *, channels: int = 1, n_ssm: int = H, glu: bool = True) -> Tree:
    """Return the arrays of a model in PyTorch's names and shapes."""

    def make_ssm(draw: Draws) -> Tree:
        kernel = {
            "C": draw.normal(channels, H, N, 2),
            "B": draw.normal(1, n_ssm, N, 2),
            "A_real": draw.uniform(-1, 0, n_ssm, N),
            "A_imag": draw.uniform(0, 4, n_ssm, N),
            "inv_dt": draw.uniform(-3, -1, H, 1),
        }
        if layer == "s4":
            kernel |= {"P": draw.normal(1, n_ssm, N, 2) / np.float32(2), "l_kernel": np.array(STORED)}
        return {f"layer.layer.kernel.{one}": array for one, array in kernel.items()} | {
            "layer.layer.D": draw.normal(1, H)
        }

    arrays = make_torch_arrays((D_IN, H, CLASSES), make_ssm, "output_linear.0", glu=glu)
    return {f"state_dict.{name}": array for name, array in arrays.items()}


def kernels(layer: str, p: Tree, softplus: bool) -> np.ndarray:
    """Return the kernels (channels, H, L) by the original's formulas: twice the real part of a sum over pairs."""
    repeat = H // len(p["A_real"])
    A = np.tile(-np.exp(p["A_real"]) - 1j * p["A_imag"], (repeat, 1))
    B, C = np.tile(p["B"][0, ..., 0] + 1j * p["B"][0, ..., 1], (repeat, 1)), p["C"][..., 0] + 1j * p["C"][..., 1]
    step, lags = np.log1p(np.exp(p["inv_dt"])) if softplus else np.exp(p["inv_dt"]), np.arange(L)
    if layer == "s4d":
        weights = C * B * (np.exp(step * A) - 1) / A
        return 2 * np.einsum("chn,hnl->chl", weights, np.exp((step * A)[..., None] * lags)).real
    P = np.tile(p["P"][0, ..., 0] + 1j * p["P"][0, ..., 1], (repeat, 1))
    root = np.exp(-2j * np.pi * np.arange(STORED // 2 + 1) / STORED)
    z = 2 * (1 - root) / (1 + root)

    def cauchy(v: np.ndarray) -> np.ndarray:
        """The sum over both of each conjugate pair."""
        v, Lambda = (v * step)[..., None], (A * step)[..., None]
        return (v / (z - Lambda) + v.conj() / (z - Lambda.conj())).sum(-2)

    CB, CP, QB, QP = cauchy(C * B), cauchy(C * P), cauchy(P.conj() * B), cauchy(P.conj() * P)
    return np.fft.irfft((CB - CP * QB / (1 + QP)) * 2 / (1 + root), n=STORED)[..., :L]


def answer(layer: str, arrays: Tree, *, softplus: bool) -> np.ndarray:
    def mix(x: np.ndarray, ssm: Tree) -> np.ndarray:
        return two_sided(kernels(layer, ssm, softplus), ssm["D"][0], x)

    return torch_model(arrays, U, mix, "layer.layer", "output_linear.0")


CASES = {
    "s4d": ("s4d", {}, {}),
    "s4d-both": ("s4d", {"channels": 2, "n_ssm": 2, "glu": False}, {"dt_transform": "exp"}),
    "s4": ("s4", {"n_ssm": 2}, {}),
    "s4-both": ("s4", {"channels": 2}, {"dt_transform": "exp"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_of_the_s4_repository(tmp_path: Path, case: str) -> None:
    layer, kind, switches = CASES[case]
    arrays = make_arrays(layer, **kind)
    save_file(arrays, tmp_path / "x.safetensors")
    model = s5.import_weights(tmp_path / "x.safetensors", f"state-spaces-{layer}", **switches)
    agree(model, U, answer(layer, arrays, softplus=not switches))


def test_a_model_of_the_example_of_the_s4_repository(tmp_path: Path) -> None:
    def make_ssm(draw: Draws) -> Tree:
        kernel = {"C": draw.normal(H, N, 2), "log_dt": draw.uniform(-3, -1, H)}
        kernel |= {"log_A_real": draw.uniform(-1, 0, H, N), "A_imag": draw.uniform(0, 4, H, N)}
        return {f"layer.kernel.{one}": array for one, array in kernel.items()} | {"layer.D": draw.normal(H)}

    def mix(x: np.ndarray, p: Tree) -> np.ndarray:
        A, C = -np.exp(p["log_A_real"]) + 1j * p["A_imag"], p["C"][..., 0] + 1j * p["C"][..., 1]
        dtA = A * np.exp(p["log_dt"])[:, None]
        kernel = np.einsum("hn,hnl->hl", C * (np.exp(dtA) - 1) / A, np.exp(dtA[..., None] * np.arange(L)))
        return two_sided(2 * kernel.real[None], p["D"], x)

    arrays = make_torch_arrays((D_IN, H, CLASSES), make_ssm, "output_linear.0", glu=True, norm="affine")
    stored = {"acc": np.array(93.0), "epoch": np.array(9)}
    for name, array in arrays.items():
        name = name.replace("encoder.0", "encoder").replace("decoder.0.output_transform", "decoder")
        name = re.sub(r"model.layers.(\d).layer", r"s4_layers.\1", name)
        name = re.sub(r"model.layers.(\d).norm.norm", r"norms.\1", name)
        # The dense layer is a convolution over one step.
        stored[f"model.{name}"] = array[..., None] if "output_linear.0.weight" in name else array
    np.savez(tmp_path / "x.npz", **stored)
    model = s5.import_weights(tmp_path / "x.npz", "s4d-example")
    agree(model, U, torch_model(arrays, U, mix, "layer", "output_linear.0"))


def test_a_second_kernel_whose_late_start_cannot_be_undone_is_an_error(tmp_path: Path) -> None:
    arrays = make_arrays("s4d", channels=2)
    arrays["state_dict.model.layers.1.layer.layer.kernel.A_real"][0, 0] = 5
    save_file(arrays, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="starts one step late"):
        s5.import_weights(tmp_path / "x.safetensors", "state-spaces-s4d")
    with pytest.raises(UserError, match="dt_transform=log: must be one of softplus, exp"):
        s5.import_weights(tmp_path / "x.safetensors", "state-spaces-s4d", dt_transform="log")
