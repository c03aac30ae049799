from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import s5
from s5.errors import UserError
from tests.s5.originals.original_models import Draws, Tree, agree, make_torch_arrays, torch_model, two_sided

batch, L, D_IN, H, N, CLASSES = 2, 8, 3, 4, 3, 5
U = np.random.default_rng(7).standard_normal((batch, L, D_IN)).astype(np.float32)


def make_arrays(version: str, *, channels: int = 1, separate: bool = True) -> Tree:
    def make_ssm(draw: Draws) -> Tree:
        re, im = draw.uniform(-1, 0.5, N), draw.uniform(0.1, 3, N)
        re[0] = 0.3  # only the softmax lets a state grow
        match version:
            case "exp":
                Lambda = {"Lambda_log_neg_re": re, "Lambda_im": im}
            case "exp_re_im":
                Lambda = {"Lambda_log_neg_re": re, "Lambda_log_im": np.log(im)}
            case _:
                Lambda = {"Lambda": np.stack([re, im], axis=-1)}
        kernel = {"W": draw.normal(channels, H, N, 2), "log_dt": draw.uniform(-3, -1, *((H, 2) if separate else (H,)))}
        arrays = {f"layer.kernel.{name}": array for name, array in (kernel | Lambda).items()}
        return arrays | {"layer.D": draw.normal(1, H)}

    norm = "batch" if version == "clip" else "layer"
    arrays = make_torch_arrays((D_IN, H, CLASSES), make_ssm, "output_linear", glu=False, norm=norm)
    # With `transposed`, the biases are columns.
    return {name: array[:, None] if "output_linear.bias" in name else array for name, array in arrays.items()}


def kernels(p: Tree, version: str, scale: bool) -> np.ndarray:
    """Return the kernels (channels, H, L) by the formulas of the paper and its repository."""
    match version:
        case "exp":
            Lambda = -np.exp(p["Lambda_log_neg_re"]) + 1j * p["Lambda_im"]
        case "exp_re_im":
            Lambda = -np.exp(p["Lambda_log_neg_re"]) + 1j * np.exp(p["Lambda_log_im"])
        case "clip":
            Lambda = np.minimum(p["Lambda"][:, 0], 1e-4) + 1j * p["Lambda"][:, 1]
        case _:
            Lambda = p["Lambda"][:, 0] + 1j * p["Lambda"][:, 1]
    step = np.exp(p["log_dt"].reshape(H, -1))
    a = Lambda.real * step[:, :1] + 1j * Lambda.imag * step[:, -1:]
    powers = np.exp(a[..., None] * np.arange(L))
    if version == "softmax":
        powers = powers / powers.sum(-1, keepdims=True) / Lambda[:, None]
    elif scale:
        powers = powers * ((np.exp(a) - 1) / Lambda)[..., None]
    return np.einsum("chn,hnl->chl", p["W"][..., 0] + 1j * p["W"][..., 1], powers).real


CASES: dict[str, tuple[str, Tree, dict[str, Any]]] = {
    "softmax": ("softmax", {}, {"l_max": L}),
    "softmax-both": ("softmax", {"channels": 2}, {"l_max": L}),
    "exp-both": ("exp", {"channels": 2, "separate": False}, {}),
    "exp_re_im": ("exp_re_im", {}, {}),
    "clip": ("clip", {"channels": 2}, {"version": "clip", "scale": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_of_the_dss_repository(tmp_path: Path, case: str) -> None:
    version, kind, options = CASES[case]
    arrays = make_arrays(version, **kind)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / "x.safetensors")
    model = s5.import_weights(tmp_path / "x.safetensors", "dss", **options)

    def mix(x: np.ndarray, ssm: Tree) -> np.ndarray:
        return two_sided(kernels(ssm, version, options.get("scale", True)), ssm["D"][0], x)

    agree(model, U, torch_model(arrays, U, mix, "layer", "output_linear"))


def test_what_the_file_does_not_say_is_an_error(tmp_path: Path) -> None:
    arrays = make_arrays("softmax")
    file = tmp_path / "x.npz"
    np.savez(file, **arrays)
    with pytest.raises(UserError, match="needs l_max"):
        s5.import_weights(file, "dss")
    with pytest.raises(UserError, match=r"model.version=exp: the file has softmax or clip"):
        s5.import_weights(file, "dss", version="exp")
    arrays["model.layers.1.norm.norm.m"][0] = 0.5
    np.savez(file, **arrays)
    with pytest.raises(UserError, match=r"norm.norm.m is 0.5 and must be 0"):
        s5.import_weights(file, "dss", l_max=L)
