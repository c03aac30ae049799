"""How time and memory grow: of the layer with the length of the sequence, of a model with its depth.

    python -m benchmarks.scaling [--json] [--plot FILE.png] [--longest L] [--repeats N]

length   one bidirectional layer, H 128, P 64, batch 1, forward and backward
depth    a model of such layers with L 1024, batch 4: its loss and all gradients, and the seconds to compile them

`temp_mb` is the temporary memory that XLA plans, without parameters, inputs and results.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.layer import compile_seconds, make_layer, race, with_backward
from s5.choices import Norm
from s5.config import ModelConfig
from s5.memory import restart_with_huge_pages
from s5.models import make_model

DEPTHS = (1, 2, 4, 8, 16)


def by_length(longest: int, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of the layer at 1,024 steps, at twice as many, and so on."""
    layer, params = make_layer(128, 64, bidirectional=True)
    L = 1024
    while longest >= L:
        u = jnp.ones((1, L, 128))
        yield {"L": L, **_figures(with_backward(layer), (params, u, u), repeats)}
        L *= 2


def by_depth(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of a model at each depth."""
    inputs = jnp.ones((4, 1024, 1))
    for n_layers in DEPTHS:
        config = ModelConfig(n_layers=n_layers, d_model=64, d_state=64, n_blocks=1, norm=Norm.layer, bidirectional=True)
        graph, params = nnx.split(make_model(config, 1, 10, nnx.Rngs(0)))

        def loss(params: nnx.State, inputs: jax.Array, graph: Any = graph) -> jax.Array:
            return (nnx.merge(graph, params)(inputs, None, train=True) ** 2).mean()

        yield {"n_layers": n_layers, **_figures(jax.value_and_grad(loss), (params, inputs), repeats)}


def _figures(program: Any, arguments: tuple, repeats: int) -> dict[str, float]:
    compiled, compile_s = compile_seconds(program, arguments)
    seconds = race({"program": (compiled, arguments)}, repeats)["program"]
    temp = compiled.memory_analysis().temp_size_in_bytes
    return {"ms": round(seconds * 1e3, 2), "temp_mb": round(temp / 1e6, 2), "compile_s": round(compile_s, 2)}


def plot(figures: dict[str, list[dict[str, Any]]], path: str) -> None:
    """Draw time and memory over length and over depth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for row, (name, axis, label) in zip(
        panels, (("length", "L", "steps of the sequence"), ("depth", "n_layers", "layers")), strict=True
    ):
        x = [one[axis] for one in figures[name]]
        for panel, key, unit in zip(row, ("ms", "temp_mb"), ("milliseconds", "megabytes"), strict=True):
            y = [one[key] for one in figures[name]]
            panel.loglog(x, y, "o-", label="measured", base=2)
            panel.loglog(x, [y[-1] * n / x[-1] for n in x], "--", color="0.6", label="linear", base=2)
            panel.set(xlabel=label, ylabel=unit)
            panel.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the figures")
    parser.add_argument("--longest", type=int, default=131_072, metavar="L")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    restart_with_huge_pages()
    figures = {"length": list(by_length(asked.longest, asked.repeats)), "depth": list(by_depth(asked.repeats))}
    if asked.plot:
        plot(figures, asked.plot)
    if asked.json:
        print(json.dumps(figures))
        return
    for rows in figures.values():
        for row in rows:
            print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
