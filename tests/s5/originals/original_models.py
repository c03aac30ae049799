"""What the original repositories compute around their layers, in NumPy and float64: dense layers, norms, blocks."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.serialization import msgpack_serialize

import s5

Tree = dict[str, Any]


class Draws:
    """Draws the arrays of a file, float32 as the originals store them."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def complex(self, *shape: int) -> np.ndarray:
        return (self.normal(*shape) + 1j * self.normal(*shape)).astype(np.complex64)

    def dense(self, d_in: int, d_out: int) -> Tree:
        return {"kernel": self.normal(d_in, d_out) / np.float32(np.sqrt(d_in)), "bias": self.normal(d_out)}

    def norm(self, H: int) -> Tree:
        return {"scale": self.normal(H), "bias": self.normal(H)}

    def statistics(self, H: int) -> Tree:
        return {"mean": self.normal(H), "var": self.uniform(0.5, 2, H)}


def wide(tree: Any) -> Any:
    """Return a tree of arrays in float64 and complex128."""
    if isinstance(tree, dict):
        return {name: wide(value) for name, value in tree.items()}
    return np.asarray(tree, np.complex128 if np.iscomplexobj(tree) else np.float64)


def dense(p: Tree, x: np.ndarray) -> np.ndarray:
    return x @ p["kernel"] + p["bias"]


def layer_norm(p: Tree, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def batch_norm(p: Tree, statistics: Tree, x: np.ndarray) -> np.ndarray:
    return (x - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-5) * p["scale"] + p["bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    """The approximation by a tanh, Flax's default."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def convolve(kernel: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the causal convolution of (batch, L, H) inputs with (H, L) kernels, term by term."""
    y = np.zeros_like(u)
    for k in range(u.shape[1]):
        for lag in range(k + 1):
            y[:, k] += kernel[:, lag] * u[:, k - lag]
    return y


def recur(Lambda_bar: np.ndarray, Bu: np.ndarray, *, reverse: bool = False) -> np.ndarray:
    """Return the states x_k = Lambda_bar x_{k−1} + Bu_k, one step after the other."""
    states, x = np.zeros(Bu.shape, complex), np.zeros((len(Bu), Bu.shape[2]), complex)
    for k in reversed(range(Bu.shape[1])) if reverse else range(Bu.shape[1]):
        x = Lambda_bar * x + Bu[:, k]
        states[:, k] = x
    return states


def residual(x: np.ndarray, norm: Callable, inner: Callable, *, prenorm: bool) -> np.ndarray:
    return x + inner(norm(x)) if prenorm else norm(x + inner(x))


def write(file: Path, tree: Tree) -> Path:
    file.write_bytes(msgpack_serialize(tree))
    return file


def agree(model: s5.SequenceModel, inputs: np.ndarray, want: np.ndarray) -> None:
    got = nnx.jit(lambda model, inputs: model(inputs, s5.Steps()))(model, jnp.asarray(inputs))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def two_sided(kernels: np.ndarray, D: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return a layer's outputs as all versions of the S4 repository do: a second kernel starts one step late."""
    forward, *backward = kernels
    y = convolve(forward, x) + D * x
    for one in backward:
        y[:, :-1] += convolve(one, x[:, ::-1])[:, ::-1][:, 1:]
    return y


def make_torch_arrays(
    sizes: tuple[int, int, int], make_ssm: Callable[[Draws], Tree], linear: str, *, glu: bool, norm: str = "batch"
) -> Tree:
    """Return the arrays of a model of the S4 repository: d_input, d_model and d_output; `linear` ends each layer."""
    (d_in, H, d_out), draw = sizes, Draws()
    arrays = {
        "encoder.0.weight": draw.normal(H, d_in),
        "encoder.0.bias": draw.normal(H),
        "decoder.0.output_transform.weight": draw.normal(d_out, H),
        "decoder.0.output_transform.bias": draw.normal(d_out),
    }
    for i in range(2):
        rows = 2 * H if glu else H
        layer = {
            f"layer.{linear}.weight": draw.normal(rows, H) / np.float32(2),
            f"layer.{linear}.bias": draw.normal(rows),
        }
        layer |= make_ssm(draw)
        if norm == "batch":
            layer |= {f"norm.norm.{one}": draw.normal(H) for one in ("weight", "bias", "running_mean")}
            layer |= {"norm.norm.running_var": draw.uniform(0.5, 2, H), "norm.norm.num_batches_tracked": np.array(9)}
        elif norm == "affine":
            layer |= {"norm.norm.weight": draw.normal(H), "norm.norm.bias": draw.normal(H)}
        else:
            layer |= {"norm.norm.s": draw.normal(1), "norm.norm.m": np.zeros(1, np.float32)}
        arrays |= {f"model.layers.{i}.{name}": array for name, array in layer.items()}
    return arrays


def torch_model(arrays: Tree, u: np.ndarray, mix: Callable, mixer: str, linear: str) -> np.ndarray:
    """Return the outputs of a model of the S4 repository with a norm after each layer."""
    p = {name.removeprefix("state_dict."): array for name, array in wide(arrays).items()}
    x = np.float64(u) @ p["encoder.0.weight"].T + p["encoder.0.bias"]
    for i in range(2):
        own = {one.removeprefix(f"model.layers.{i}."): array for one, array in p.items() if f"layers.{i}." in one}
        y = mix(x, {one.rpartition(".")[2]: array for one, array in own.items() if one.startswith(f"{mixer}.")})
        y = y * (1 + np.vectorize(math.erf)(y / math.sqrt(2))) / 2
        z = y @ own[f"layer.{linear}.weight"].T + own[f"layer.{linear}.bias"].reshape(-1)
        H = x.shape[-1]
        x = x + (z if z.shape[-1] == H else z[..., :H] * sigmoid(z[..., H:]))
        norm = {one.rpartition(".")[2]: array for one, array in own.items() if one.startswith("norm.norm.")}
        if "s" in norm:
            x = norm["s"] / x.std(-1, keepdims=True) * (x - x.mean(-1, keepdims=True) + norm["m"])
        elif "running_mean" not in norm:
            centred = x - x.mean(-1, keepdims=True)
            x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * norm["weight"] + norm["bias"]
        else:
            statistics = {"mean": norm["running_mean"], "var": norm["running_var"]}
            x = batch_norm({"scale": norm["weight"], "bias": norm["bias"]}, statistics, x)
    return x.mean(1) @ p["decoder.0.output_transform.weight"].T + p["decoder.0.output_transform.bias"]
