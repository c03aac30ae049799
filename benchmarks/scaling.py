"""Measures how time and memory grow: for a layer with the length of the sequence, for a model with its depth.

    python -m benchmarks.scaling [--json] [--plot FILE.png] [--longest L] [--repeats N]

length   one bidirectional layer, H 128, P 64, batch 1, forward and backward
depth    a model of such layers, H 64, L 1024, batch 4: loss and all gradients, and the seconds to compile them

`temp_mb` is the temporary memory that XLA plans, in addition to parameters, inputs and results.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.layer import compile_seconds, make_layer, race, with_backward
from s5.config.choices import Norm
from s5.config.families import S5Config
from s5.models.sequence_model import make_model
from s5.process.huge_pages import restart_with_huge_pages

DEPTHS = (1, 2, 4, 8, 16)


def by_length(longest: int, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the results of the layer for 1,024 steps, then for twice the number, up to `longest`."""
    layer, params = make_layer(128, 64, bidirectional=True)
    L = 1024
    while longest >= L:
        u = jnp.ones((1, L, 128))
        yield {"L": L, **_figures(with_backward(layer), (params, u, u), repeats)}
        L *= 2


def by_depth(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the results of a model for each depth."""
    inputs = jnp.ones((4, 1024, 1))
    for n_layers in DEPTHS:
        config = S5Config(n_layers=n_layers, d_model=64, d_state=64, n_blocks=1, norm=Norm.layer, bidirectional=True)
        graph, params = nnx.split(make_model(config, 1, 10, nnx.Rngs(0)))

        def loss(params: nnx.State, inputs: jax.Array, graph: Any = graph) -> jax.Array:
            return (nnx.merge(graph, params)(inputs, train=True) ** 2).mean()

        yield {"n_layers": n_layers, **_figures(jax.value_and_grad(loss), (params, inputs), repeats)}


def _figures(program: Any, arguments: tuple, repeats: int) -> dict[str, float]:
    compiled, compile_s = compile_seconds(program, arguments)
    seconds = race({"program": (compiled, arguments)}, repeats)["program"]
    temp = compiled.memory_analysis().temp_size_in_bytes
    return {"ms": round(seconds * 1e3, 2), "temp_mb": round(temp / 1e6, 2), "compile_s": round(compile_s, 2)}


ROWS = (("length", "L", "length L of the sequence (steps)"), ("depth", "n_layers", "layers"))
COLUMNS = (("ms", "time (ms)"), ("temp_mb", "temporary memory (MB)"), ("compile_s", "time to compile (s)"))


def plot(figures: dict[str, list[dict[str, Any]]], path: str) -> None:
    """Plot time, memory and compile time over length and depth, with a line for linear growth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, len(COLUMNS), figsize=(12, 7), layout="constrained")
    for row, (name, axis, x_label) in zip(panels, ROWS, strict=True):
        x = [one[axis] for one in figures[name]]
        for panel, (key, y_label) in zip(row, COLUMNS, strict=True):
            y = [one[key] for one in figures[name]]
            _draw(panel, x, y, constant=key == "compile_s")
            panel.set(xlabel=x_label, ylabel=y_label, xscale="log")
            panel.set_xticks(x, [f"{n // 1024}k" if n >= 1024 else str(n) for n in x])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.legend()
    panels[0][0].set_title("A bidirectional layer, H 128, P 64, forward and backward", loc="left", fontsize=10)
    panels[1][0].set_title("Models with L 1,024, batch 4: loss and gradients", loc="left", fontsize=10)
    figure.savefig(path, dpi=130)


def _draw(panel: Any, x: list[int], y: list[float], constant: bool) -> None:
    panel.plot(x, y, "o-", label="measured")
    if constant:
        panel.set_ylim(0, 1.5 * max(y))
        return
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    start = y[0] - slope * x[0]
    label = "linear" if abs(start) < 0.2 * y[0] else f"{start:.3g} + {slope:.2g} a layer"
    panel.plot(x, [start + slope * n for n in x], "--", color="0.5", label=label)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ends = [10**e * n for e in range(-1, 5) for n in (1, 2, 5) if min(y) / 2 <= 10**e * n <= 2 * max(y)]
    panel.set_yticks(ends if len(ends) <= 7 else [n for n in ends if str(n).startswith("1")])


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
