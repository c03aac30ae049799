"""Compares the layers of the families with plain ones: forward and backward of one layer, time and memory.

    python -m benchmarks.models [--json] [--family s4d ...] [--shape H,N,L,BATCH ...] [--repeats N] [--torch PYTHON]

speedup     seconds of the plain layer (`benchmarks.plain_kernels`, `plain_recurrences`) / seconds of ours
over_torch  seconds of the layer in PyTorch (`benchmarks.torch_layers`) / seconds of ours, with `--torch`
spread      (longest - shortest) / median of our seconds over the repeats
temp_ratio  bytes of temporary memory, ours / plain
compile_s   seconds to trace and compile ours

N is `d_state` as the papers count it: for S4D and S4 a half is stored. RG-LRU has H states in all,
and no N. DSS's softmax has its window at L. Seconds are medians over the repeats; the programs alternate, so that noise
affects all. On a CPU the process uses huge pages, as training does. `--torch PYTHON` names an interpreter with PyTorch,
which runs the same S4D, DSS or S4 with the same parameters in a process of its own; its outputs and gradients are
compared with those of the plain layer first.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.layer import compile_seconds, parse_shape, race_seconds, with_backward
from benchmarks.plain_kernels import Params, plain_dss, plain_lssl, plain_s4, plain_s4d
from benchmarks.plain_recurrences import plain_linoss, plain_rglru
from benchmarks.torch_process import TorchProcess
from s5.nn.sequence_mixer import SequenceMixer
from s5.process.huge_pages import restart_with_huge_pages
from s5.ssm.dss import DSS
from s5.ssm.linoss import LinOSS
from s5.ssm.lssl import LSSL
from s5.ssm.rglru import RGLRU
from s5.ssm.s4 import S4
from s5.ssm.s4d import S4D

SHAPES = ((256, 64, 1024, 8), (256, 64, 4096, 8))  # H, N, L, batch

Layer = Callable[[Params, jax.Array], jax.Array]
FAMILIES: dict[str, tuple[Callable[[int, int, int], SequenceMixer], Layer]] = {
    "s4d": (lambda H, N, L: S4D(H, N, rngs=np.random.default_rng(0)), plain_s4d),
    "dss": (lambda H, N, L: DSS(H, N, l_max=L, rngs=np.random.default_rng(0)), plain_dss),
    "s4": (lambda H, N, L: S4(H, N, rngs=np.random.default_rng(0)), plain_s4),
    "rglru": (lambda H, N, L: RGLRU(H, H, n_blocks=8, rngs=np.random.default_rng(0)), plain_rglru),
    "linoss": (lambda H, N, L: LinOSS(H, N, rngs=np.random.default_rng(0)), plain_linoss),
    "lssl": (lambda H, N, L: LSSL(H, N, rngs=np.random.default_rng(0)), plain_lssl),
}
IN_TORCH = ("s4d", "dss", "s4")


def _as_function(mixer: SequenceMixer) -> tuple[Layer, Params]:
    graph, state = nnx.split(mixer)

    def layer(params: Params, u: jax.Array) -> jax.Array:
        filled = nnx.clone(state)
        nnx.replace_by_pure_dict(filled, params)
        return nnx.merge(graph, filled)(u)

    return layer, nnx.to_pure_dict(state)


def measure(family: str, shape: tuple[int, int, int, int], repeats: int, torch: str | None = None) -> dict[str, Any]:
    """Return the results of one family at one shape; `torch` is an interpreter with PyTorch."""
    H, N, L, batch = shape
    make, plain = FAMILIES[family]
    ours, params = _as_function(make(H, N, L))
    rng = np.random.default_rng(1)
    u, y_bar = (jnp.asarray(rng.standard_normal((batch, L, H)), jnp.float32) for _ in range(2))
    arguments = (params, u, y_bar)
    programs, compile_s = {}, {}
    for name, layer in (("ours", ours), ("plain", plain)):
        programs[name], compile_s[name] = compile_seconds(with_backward(layer), arguments)
    calls = {name: (program, arguments) for name, program in programs.items()}
    version = {}
    with ExitStack() as stack:
        if torch is not None:
            process = stack.enter_context(TorchProcess(torch, family, {**params, "u": u, "y_bar": y_bar}))
            _check_same(family, process.outputs(), *programs["plain"](*arguments))
            calls["torch"], version["torch"] = (process, ()), process.version
        seconds = race_seconds(calls, repeats, rest=0 if torch is None else 0.3)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    temp = {name: program.memory_analysis().temp_size_in_bytes for name, program in programs.items()}
    return {
        "family": family,
        "shape": list(shape),
        "speedup": round(median["plain"] / median["ours"], 2),
        **({} if torch is None else {"over_torch": round(median["torch"] / median["ours"], 2)}),
        "temp_ratio": round(temp["ours"] / temp["plain"], 3),
        **{f"{name}_ms": round(each * 1e3, 1) for name, each in median.items()},
        "spread": round((max(seconds["ours"]) - min(seconds["ours"])) / median["ours"], 2),
        **{f"{name}_temp_mb": round(size / 2**20, 1) for name, size in temp.items()},
        "compile_s": round(compile_s["ours"], 2),
        "plain_compile_s": round(compile_s["plain"], 2),
        **version,
    }


def _check_same(family: str, torch: dict[str, np.ndarray], y: jax.Array, bars: tuple[Params, jax.Array]) -> None:
    """Raise AssertionError if PyTorch's outputs or gradients are not those of the plain layer, but for rounding."""
    plain = {"y": y, "bar_u": bars[1], **{f"bar_{name}": bar for name, bar in bars[0].items()}}
    for name, found in torch.items():
        expected = np.asarray(plain[name])
        error = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)
        assert error < 5e-3, f"{family}: {name} of PyTorch differs from the plain layer's by {error:.1e} of its largest"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON list, an object per family and shape")
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--shape", nargs="+", metavar="H,N,L,BATCH", help="default: two shapes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter with PyTorch: its S4D, DSS and S4 take part")
    asked = parser.parse_args()
    restart_with_huge_pages()
    if asked.repeats < 1:
        parser.error(f"--repeats {asked.repeats}: must be at least 1")
    try:
        shapes = SHAPES if asked.shape is None else [parse_shape(one) for one in asked.shape]
    except ValueError as error:
        parser.error(f"--shape: {error}")
    figures = [
        measure(family, shape, asked.repeats, asked.torch if family in IN_TORCH else None)
        for family in asked.family
        for shape in shapes
    ]
    if asked.json:
        print(json.dumps(figures))
        return
    for one in figures:
        print("  ".join(f"{name} {value}" for name, value in one.items()))


if __name__ == "__main__":
    main()
