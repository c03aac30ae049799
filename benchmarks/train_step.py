"""Compares our training step with a plain step that is written like the published implementations.

    python -m benchmarks.train_step [--json] [--recipe NAME] [--repeats N]

speedup_step    plain_s / ours_s: median seconds of a step; the two steps alternate
compile_ratio   ours / plain: seconds to trace and compile the step without a cache; means of two measurements
temp_ratio      ours / plain: bytes of temporary memory that XLA plans for the step
loss_difference   difference of the two losses in the first step. Ours uses `compat=upstream`, since in the plain step
                padding enters the scans and the batch statistics. For the times, ours leaves padding out, as in
                training, which is more work
upstream_s      seconds of our step with `compat=upstream`, if sequences are padded: the same function as the plain step
compile_depth_ratio   seconds to compile our step with 16 layers / with 2 layers
bfloat16_s      seconds of our step with `precision=bfloat16`
bfloat16_ratio  bfloat16_s / seconds with float32

Our step is that of `python -m s5`: gradients, optimizer, statistics and metric sums. Both steps run in one process,
which is restarted with huge memory pages, like `python -m s5`.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.plain_step import make_plain_step, plain_params
from s5.catalog import dataset_info
from s5.config.choices import Precision
from s5.config.compat import OURS, UPSTREAM, Compat
from s5.config.compose import compose
from s5.config.families import S5Config
from s5.config.training import OptimConfig
from s5.data.batch import Batch
from s5.models.sequence_model import make_model
from s5.process.huge_pages import restart_with_huge_pages
from s5.training.optimizer import make_optimizer
from s5.training.step import MetricWindow, TrainState, make_train_step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A model and the shape of its data.

    lengths: The shortest and the longest sequence; None if no sequence is padded.
    one_hot: Whether the inputs are one-hot vectors.
    """

    model: S5Config
    optim: OptimConfig
    batch: int
    L: int
    d_input: int
    n_classes: int
    lengths: tuple[int, int] | None = None
    one_hot: bool = False


# Each recipe, with a batch size that two cores can compute.
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "listops": ("lra/listops", {"batch": 8, "lengths": (500, 2000), "one_hot": True}),
    "pathx": ("lra/pathx", {"batch": 1}),
}


def load_recipe(name: str) -> Recipe:
    """Compose a recipe as a run does, and add the shape of its data."""
    experiment, shape = RECIPES[name]
    config = compose([f"experiment={experiment}"])
    info = dataset_info(config.data.name)
    data = {"L": info.length, "d_input": info.d_input, "n_classes": info.n_classes}
    return Recipe(model=config.model, optim=config.optim, **data, **shape)


def draw_batch(recipe: Recipe) -> Batch:
    """Return a random batch of a recipe's shape."""
    rng = np.random.default_rng(0)
    shape = (recipe.batch, recipe.L)
    if recipe.one_hot:
        inputs = np.eye(recipe.d_input, dtype=np.float32)[rng.integers(recipe.d_input, size=shape)]
    else:
        inputs = rng.standard_normal((*shape, recipe.d_input)).astype(np.float32)
    low, high = recipe.lengths or (recipe.L, recipe.L)
    lengths = rng.integers(low, high + 1, recipe.batch).astype(np.int32)
    inputs[np.arange(recipe.L) >= lengths[:, None]] = 0
    labels = rng.integers(recipe.n_classes, size=recipe.batch).astype(np.int32)
    return Batch(inputs, labels, lengths, np.ones(recipe.batch, np.float32))


class Side:
    """A compiled training step, with its state.

    compile_s: Seconds of tracing and compiling.
    temp: Bytes of temporary memory.
    """

    def __init__(self, step: Any, state: Any, batch: tuple[Any, ...]) -> None:
        start = time.perf_counter()
        self._step = step.lower(state, *batch).compile()
        self.compile_s = time.perf_counter() - start
        self.temp = self._step.memory_analysis().temp_size_in_bytes
        self._state, self._batch = state, batch

    def run(self) -> tuple[float, Any]:
        """Do one step; return its seconds and its other result besides the state."""
        start = time.perf_counter()
        self._state, out = jax.block_until_ready(self._step(self._state, *self._batch))
        return time.perf_counter() - start, out


def our_side(recipe: Recipe, compat: Compat = OURS) -> Side:
    """Return our training step."""
    model = make_model(recipe.model, recipe.d_input, recipe.n_classes, nnx.Rngs(0), compat=compat)
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    optimizer = make_optimizer(dataclasses.replace(recipe.optim, warmup_epochs=0.0), params, 100, 10)
    get_lengths: Callable[[Batch], Any] = lambda batch: batch.lengths if recipe.lengths else None  # noqa: E731
    step = make_train_step(graphdef, optimizer, get_lengths)
    state = TrainState(jnp.zeros((), jnp.int32), jax.random.key(0), params, stats, optimizer.init(params))
    return Side(step, state, (MetricWindow.empty(), jax.tree.map(jnp.asarray, draw_batch(recipe))))


def plain_side(recipe: Recipe) -> Side:
    """Return the plain training step, with the same initial values."""
    model = make_model(recipe.model, recipe.d_input, recipe.n_classes, nnx.Rngs(0))
    params = plain_params(nnx.to_pure_dict(nnx.state(model, nnx.Param)), recipe.model.n_layers)
    step, state = make_plain_step(recipe.model, params, padded=recipe.lengths is not None)
    batch = jax.tree.map(jnp.asarray, draw_batch(recipe))
    return Side(step, state, (batch.inputs, batch.labels, batch.lengths if recipe.lengths else None))


def race(sides: dict[str, Side], repeats: int) -> dict[str, float]:
    """Return the median seconds of each side's step; the sides alternate."""
    taken = [{name: side.run()[0] for name, side in sides.items()} for _ in range(repeats)]
    return {name: statistics.median(turn[name] for turn in taken) for name in sides}


def measure(recipe: Recipe, repeats: int) -> dict[str, float]:
    """Return the results for one recipe."""
    compiled = []
    for _ in range(2):
        jax.clear_caches()
        compiled.append((our_side(recipe), plain_side(recipe)))
    compile_s = [statistics.mean(side.compile_s for side in each) for each in zip(*compiled, strict=True)]
    ours, plain = compiled[-1]
    sides = {"ours_s": ours, "plain_s": plain}
    if recipe.lengths:
        sides["upstream_s"] = our_side(recipe, UPSTREAM)
    first = {name: side.run()[1] for name, side in sides.items()}  # this also warms up
    sums = first.get("upstream_s", first["ours_s"]).sums
    seconds = race(sides, repeats)
    return {
        "speedup_step": round(seconds["plain_s"] / seconds["ours_s"], 2),
        "compile_ratio": round(compile_s[0] / compile_s[1], 3),
        "temp_ratio": round(ours.temp / plain.temp, 3),
        **{name: round(taken, 4) for name, taken in seconds.items()},
        "ours_compile_s": round(compile_s[0], 2),
        "plain_compile_s": round(compile_s[1], 2),
        "ours_temp_mib": round(ours.temp / 2**20, 1),
        "plain_temp_mib": round(plain.temp / 2**20, 1),
        "loss_difference": float(sums.loss / sums.weight - first["plain_s"]),
    }


def measure_precision(recipe: Recipe, repeats: int) -> dict[str, float]:
    """Return the times and memory of a step in float32 and in bfloat16."""
    half = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, precision=Precision.bfloat16))
    sides = {"float32_s": our_side(recipe), "bfloat16_s": our_side(half)}
    race(sides, 1)
    seconds = race(sides, repeats)
    figures = {**seconds, "bfloat16_ratio": seconds["bfloat16_s"] / seconds["float32_s"]}
    figures |= {name.replace("_s", "_temp_mib"): side.temp / 2**20 for name, side in sides.items()}
    return {name: round(value, 4) for name, value in figures.items()}


def measure_depth(recipe: Recipe, repeats: int) -> dict[str, float]:
    """Return the compile time of a step with 16 layers divided by that with 2 layers."""
    seconds = {n: [] for n in (2, 16)}
    for _ in range(min(repeats, 3)):
        for n, taken in seconds.items():
            side = our_side(dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, n_layers=n)))
            taken.append(side.compile_s)
            jax.clear_caches()
    shallow, deep = (statistics.median(taken) for taken in seconds.values())
    figures = {"compile_depth_ratio": deep / shallow, "compile_2_layers_s": shallow, "compile_16_layers_s": deep}
    return {name: round(value, 3) for name, value in figures.items()}


# Further measurements of the ListOps recipe.
EXTRAS = {"depth": measure_depth, "bfloat16": measure_precision}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--recipe", choices=[*RECIPES, *EXTRAS], action="append", help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    restart_with_huge_pages()
    figures = []
    for name in asked.recipe or [*RECIPES, *EXTRAS]:
        recipe, function = ("listops", EXTRAS[name]) if name in EXTRAS else (name, measure)
        one = function(load_recipe(recipe), asked.repeats)
        figures.append({"recipe": name, **one})
    if asked.json:
        print(json.dumps(figures))
    else:
        for one in figures:
            print("\n".join(f"{key:20} {value}" for key, value in one.items()), end="\n\n")


if __name__ == "__main__":
    main()
