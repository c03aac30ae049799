"""Compares one layer of every family: time and temporary memory of forward and backward as the sequence grows.

    python -m benchmarks.families [--json] [--plot FILE.png] [--family s4 ...] [--longest L] [--repeats N]

Each layer has H 128 features, reads one way and has the defaults of its family otherwise, with `d_state` 64 where the
family has that key; the batch is 1. So the layers are not of equal size: S5 has 64 states in all, S4D 64 for each
feature. Seconds are medians over the repeats; at each length the families alternate. `temp_mb` is the temporary memory
that XLA plans, in addition to parameters, inputs and results.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.layer import compile_seconds, race_seconds, with_backward
from s5.config.families import FAMILIES
from s5.models.mixers import make_mixer
from s5.process.huge_pages import restart_with_huge_pages

H = 128
SHORTEST = 1024
FIGURES = (("ms", "time (ms)"), ("temp_mb", "temporary memory (MB)"))


def measure(families: list[str], longest: int, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the results of each family for 1,024 steps, then for twice the number, up to `longest`."""
    L = SHORTEST
    while longest >= L:
        u = jnp.ones((1, L, H))
        programs = {}
        for family in families:
            layer, params = _make_layer(family, L)
            arguments = (params, u, u)
            programs[family] = compile_seconds(with_backward(layer), arguments)[0], arguments
        for family, seconds in race_seconds(programs, repeats).items():
            median = statistics.median(seconds)
            temp = programs[family][0].memory_analysis().temp_size_in_bytes
            spread = (max(seconds) - min(seconds)) / median
            yield {
                "family": family,
                "L": L,
                "ms": round(median * 1e3, 2),
                "spread": round(spread, 2),
                "temp_mb": round(temp / 1e6, 2),
            }
        L *= 2


def _make_layer(family: str, L: int) -> tuple[Any, nnx.State]:
    config = FAMILIES[family]
    wanted = {"d_model": H, "d_state": 64, "l_max": L}
    known = {field.name for field in fields(config)}
    sized = config(kind=family, **{key: value for key, value in wanted.items() if key in known})
    graph, params, constants = nnx.split(make_mixer(sized, np.random.default_rng(0)), nnx.Param, ...)

    def layer(params: nnx.State, u: jax.Array) -> jax.Array:
        return nnx.merge(graph, params, constants)(u)

    return layer, params


def plot(figures: list[dict[str, Any]], path: str) -> None:
    """Plot time and memory over length, a line for each family."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(FIGURES), figsize=(11, 4.5), layout="constrained")
    lengths = sorted({one["L"] for one in figures})
    for panel, (key, label) in zip(panels, FIGURES, strict=True):
        for family, marker in zip(dict.fromkeys(one["family"] for one in figures), "osD^v<>Ph*X", strict=False):
            rows = [one for one in figures if one["family"] == family]
            panel.plot([one["L"] for one in rows], [one[key] for one in rows], marker=marker, label=family)
        panel.set(xlabel="length L of the sequence (steps)", ylabel=label, xscale="log", yscale="log")
        panel.set_xticks(lengths, [f"{n // 1024}k" for n in lengths])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].legend(ncols=2)
    panels[0].set_title(f"One layer of each family, H {H}, forward and backward", loc="left", fontsize=10)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON list, an object per family and length")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the figures")
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--longest", type=int, default=16_384, metavar="L")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    restart_with_huge_pages()
    figures = list(measure(asked.family, asked.longest, asked.repeats))
    if asked.plot:
        plot(figures, asked.plot)
    if asked.json:
        print(json.dumps(figures))
        return
    for one in figures:
        print("  ".join(f"{name} {value}" for name, value in one.items()))


if __name__ == "__main__":
    main()
