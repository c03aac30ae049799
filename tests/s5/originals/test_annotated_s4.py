from pathlib import Path

import numpy as np
import pytest

import s5
from s5.errors import UserError
from tests.s5.originals.original_models import (
    Draws,
    Tree,
    agree,
    convolve,
    dense,
    gelu,
    layer_norm,
    sigmoid,
    wide,
    write,
)

batch, L, D_IN, H, N, CLASSES = 2, 8, 3, 4, 6, 5
U = np.random.default_rng(7).standard_normal((batch, L, D_IN)).astype(np.float32)


def make_tree(layer: str) -> Tree:
    """Return a model's arrays; vmapped over features, its layers have them on axis 1."""
    draw = Draws()

    def seq() -> Tree:
        re, im = draw.uniform(-1, -0.1, N, H), 3 * draw.normal(N, H)
        re[0] = 0.1 if layer != "dss" else -0.1  # the original limits it
        common = {"D": draw.normal(1, H), "log_step": draw.uniform(-3, 0, 1, H)}
        match layer:
            case "s4":
                low = {"P": 0.3 * draw.complex(N, H), "B": draw.complex(N, H), "C": draw.normal(N, H, 2)}
                return common | {"Lambda_re": re, "Lambda_im": im} | low
            case "s4d":
                B = {"B_re": draw.normal(N, H), "B_im": draw.normal(N, H)}
                return common | {"A_re": re, "A_im": im, "C": draw.normal(N, H, 2)} | B
            case _:
                return common | {"Lambda_re": re, "Lambda_im": im, "W": draw.normal(1, H, N, 2)}

    glu = layer != "s4d"
    layers = {
        f"layers_{i}": {"seq": seq(), "norm": draw.norm(H), "out": draw.dense(H, H)}
        | ({"out2": draw.dense(H, H)} if glu else {})
        for i in range(2)
    }
    return {"encoder": draw.dense(D_IN, H), **layers, "decoder": draw.dense(H, CLASSES)}


def kernel(layer: str, p: Tree, h: int) -> np.ndarray:
    """Return the kernel of a feature by the original's formulas."""
    step, lags = np.exp(p["log_step"][0, h]), np.arange(L)
    if layer == "dss":
        Lambda, W = p["Lambda_re"][:, h] + 1j * p["Lambda_im"][:, h], p["W"][0, h, :, 0] + 1j * p["W"][0, h, :, 1]
        e = np.exp(step * Lambda[:, None] * lags)
        total = e.sum(1, keepdims=True)
        return ((W / Lambda) @ (e * total.conj() / (total * total.conj() + 1e-7))).real
    C = p["C"][:, h, 0] + 1j * p["C"][:, h, 1]
    if layer == "s4d":
        A = np.minimum(p["A_re"][:, h], -1e-4) + 1j * p["A_im"][:, h]
        return ((C * (np.exp(step * A) - 1) / A) @ np.exp(step * A[:, None] * lags)).real
    Lambda = np.minimum(p["Lambda_re"][:, h], -1e-4) + 1j * p["Lambda_im"][:, h]
    P, B = p["P"][:, h], p["B"][:, h]
    root = np.exp(-2j * np.pi * lags / L)
    g, c = 2 / step * (1 - root) / (1 + root), 2 / (1 + root)

    def cauchy(v: np.ndarray) -> np.ndarray:
        return (v / (g[:, None] - Lambda)).sum(1)

    CB, CP, PB, PP = cauchy(C.conj() * B), cauchy(C.conj() * P), cauchy(P.conj() * B), cauchy(P.conj() * P)
    return np.fft.ifft(c * (CB - CP / (1 + PP) * PB)).real


def answer(layer: str, tree: Tree) -> np.ndarray:
    p = wide(tree)
    x = dense(p["encoder"], np.float64(U))
    for one in (p[f"layers_{i}"] for i in range(2)):
        u, seq = layer_norm(one["norm"], x), one["seq"]
        kernels = np.stack([kernel(layer, seq, h) for h in range(H)])
        y = gelu(convolve(kernels, u) + seq["D"][0] * u)
        x = x + dense(one["out"], y) * (sigmoid(dense(one["out2"], y)) if "out2" in one else 1)
    return dense(p["decoder"], x.mean(1))


@pytest.mark.parametrize("layer", ["s4", "s4d", "dss"])
def test_a_model_of_the_annotated_s4(tmp_path: Path, layer: str) -> None:
    tree = make_tree(layer)
    file = write(tmp_path / "checkpoint", {"params": tree, "step": 7, "opt_state": {"0": {"count": 7}}})
    model = s5.import_weights(file, f"annotated-{layer}", length=None if layer == "s4d" else L)
    agree(model, U, answer(layer, tree))


def test_what_cannot_be_represented_is_an_error(tmp_path: Path) -> None:
    tree = make_tree("dss")
    file = write(tmp_path / "checkpoint", tree)
    with pytest.raises(UserError, match="needs length"):
        s5.import_weights(file, "annotated-dss")
    tree["layers_1"]["seq"]["Lambda_re"][0] = 0.1
    file = write(tmp_path / "checkpoint", tree)
    with pytest.raises(UserError, match="4 of 24 eigenvalues have a real part that is not negative"):
        s5.import_weights(file, "annotated-dss", length=L)
