"""Compares the S5 layer with the plain layer of `benchmarks.plain_layer`, and with its matrix products alone.

    python -m benchmarks.layer [--json] [--device cpu|gpu] [--shape H,P,L,BATCH ...] [--repeats N]

speedup_forward, speedup_forward_backward   seconds of the plain layer / seconds of ours
floor_ratio      seconds of ours, forward and backward / seconds of its two real products alone: u B and x C on
                 batch × length rows, with all four derivatives, in the faster of two layouts
compile_ratio    seconds to trace and compile forward and backward, ours / plain
temp_ratio       bytes of temporary memory of forward and backward, ours / plain
max_abs_error    largest difference between the outputs of the two layers

P is the number of states that are stored under conjugate symmetry. Seconds are medians over the repeats. The programs
alternate, so that noise affects all of them equally. On a CPU the process uses huge pages, as training does.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from benchmarks.plain_layer import plain_layer
from s5.process.huge_pages import restart_with_huge_pages
from s5.ssm.s5 import S5SSM

SHAPES = ((128, 64, 1024, 8), (256, 96, 2048, 8), (128, 128, 16384, 2))  # H, P, L, batch

Program = Callable[..., Any]


def make_layer(H: int, P: int, bidirectional: bool = False) -> tuple[Program, dict[str, jax.Array]]:
    """Return our layer as a function (parameters, inputs) -> outputs, and its parameters."""
    layer = S5SSM(H, 2 * P, bidirectional=bidirectional, rngs=np.random.default_rng(0))
    graph, state = nnx.split(layer)
    return lambda params, u: nnx.merge(graph, _fill_state(state, params))(u), nnx.to_pure_dict(state)


def _fill_state(state: nnx.State, params: dict[str, jax.Array]) -> nnx.State:
    filled = nnx.clone(state)
    nnx.replace_by_pure_dict(filled, params)
    return filled


def with_backward(layer: Program) -> Program:
    """Return a function (parameters, inputs, derivative by the outputs) -> (outputs, other derivatives)."""

    def forward_backward(params: Any, u: jax.Array, y_bar: jax.Array) -> Any:
        y, pull = jax.vjp(layer, params, u)
        return y, pull(y_bar)

    return forward_backward


def products_in_rows(matrices: Any, u: jax.Array, y_bar: jax.Array) -> Any:
    """Return u B C and all derivatives, with one step per row."""
    (B, C), H = matrices, u.shape[-1]
    u, y_bar = u.reshape(-1, H), y_bar.reshape(-1, H)
    x = u @ B
    x_bar = y_bar @ C.T
    over_rows = (((0,), (0,)), ((), ()))
    return x @ C, x_bar @ B.T, lax.dot_general(u, x_bar, over_rows), lax.dot_general(x, y_bar, over_rows)


def products_in_columns(matrices: Any, u: jax.Array, y_bar: jax.Array) -> Any:
    """Return the same products with one step per column; the arrays are only reshaped, not transposed."""
    (B, C), H = matrices, u.shape[-1]
    u, y_bar = u.reshape(H, -1), y_bar.reshape(H, -1)
    x = B.T @ u
    x_bar = C @ y_bar
    return C.T @ x, B @ x_bar, u @ x_bar.T, x @ y_bar.T


def compile_seconds(program: Program, arguments: tuple) -> tuple[Any, float]:
    """Compile with empty caches; return the executable and the seconds."""
    jax.clear_caches()
    start = time.perf_counter()
    compiled = jax.jit(program).lower(*arguments).compile()
    return compiled, time.perf_counter() - start


def race_seconds(programs: dict[str, tuple[Any, tuple]], repeats: int, rest: float = 0) -> dict[str, list[float]]:
    """Return the seconds of each executable in each repeat; the executables alternate.

    Args:
        programs: Executables with their arguments, by name.
        repeats: How often each is timed, after one turn that warms up.
        rest: Seconds of rest before each, in which waiting threads of another library fall asleep.
    """
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(repeats + 1):
        for name, (program, arguments) in programs.items():
            time.sleep(rest)
            start = time.perf_counter()
            jax.block_until_ready(program(*arguments))
            if turn:  # the first turn warms up
                taken[name].append(time.perf_counter() - start)
    return taken


def race(programs: dict[str, tuple[Any, tuple]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each executable; the executables alternate."""
    return {name: statistics.median(seconds) for name, seconds in race_seconds(programs, repeats).items()}


def measure(shape: tuple[int, int, int, int], repeats: int) -> dict[str, Any]:
    """Return the results for one shape."""
    H, P, L, batch = shape
    layer, params = make_layer(H, P)
    rng = np.random.default_rng(1)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    u, y_bar, matrices = draw(batch, L, H), draw(batch, L, H), (draw(H, 2 * P), draw(2 * P, H))

    compiled: dict[str, list[tuple[Any, float]]] = {"ours": [], "plain": []}
    for _ in range(repeats):
        for name, one in (("ours", layer), ("plain", plain_layer)):
            compiled[name].append(compile_seconds(with_backward(one), (params, u, y_bar)))
    programs: dict[str, tuple[Any, tuple]] = {
        name: (pairs[-1][0], (params, u, y_bar)) for name, pairs in compiled.items()
    }
    for name, one in (("ours_forward", layer), ("plain_forward", plain_layer)):
        programs[name] = compile_seconds(one, (params, u))[0], (params, u)
    for one in (products_in_rows, products_in_columns):
        programs[one.__name__] = compile_seconds(one, (matrices, u, y_bar))[0], (matrices, u, y_bar)
    seconds = race(programs, repeats)

    compile_s = {name: statistics.median(each for _, each in pairs) for name, pairs in compiled.items()}
    temp = {name: pairs[-1][0].memory_analysis().temp_size_in_bytes for name, pairs in compiled.items()}
    outputs = [np.asarray(programs[name][0](params, u)) for name in ("ours_forward", "plain_forward")]
    floor = min(seconds[one.__name__] for one in (products_in_rows, products_in_columns))
    return {
        "shape": list(shape),
        "speedup_forward": round(seconds["plain_forward"] / seconds["ours_forward"], 2),
        "speedup_forward_backward": round(seconds["plain"] / seconds["ours"], 2),
        "floor_ratio": round(seconds["ours"] / floor, 2),
        "compile_ratio": round(compile_s["ours"] / compile_s["plain"], 3),
        "temp_ratio": round(temp["ours"] / temp["plain"], 3),
        "max_abs_error": float(np.abs(outputs[0] - outputs[1]).max()),
        "ours_ms": round(seconds["ours"] * 1e3, 2),
        "plain_ms": round(seconds["plain"] * 1e3, 2),
        "floor_ms": round(floor * 1e3, 2),
    }


def parse_shape(text: str) -> tuple[int, int, int, int]:
    """Return the four sizes of a shape that is written with commas."""
    H, P, L, batch = (int(n) for n in text.split(","))
    return H, P, L, batch


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON list, an object per shape")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--shape", nargs="+", metavar="H,P,L,BATCH", help="default: three shapes")
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    if asked.device == "cpu":
        restart_with_huge_pages()
    if asked.repeats < 1:
        parser.error(f"--repeats {asked.repeats}: must be at least 1")
    try:
        shapes = SHAPES if asked.shape is None else [parse_shape(one) for one in asked.shape]
    except ValueError as error:
        parser.error(f"--shape: {error}")
    try:
        device = jax.devices(asked.device)[0]
    except RuntimeError:
        parser.error(f"--device {asked.device}: JAX finds no such device, only {jax.devices()[0].platform}")
    with jax.default_device(device):
        figures = [measure(shape, asked.repeats) for shape in shapes]
    if asked.json:
        print(json.dumps(figures))
        return
    for one in figures:
        print("  ".join(f"{name} {value}" for name, value in one.items()))


if __name__ == "__main__":
    main()
