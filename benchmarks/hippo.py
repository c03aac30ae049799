"""Compresses a function into HiPPO coefficients, rebuilds its past, and draws both.

    python -m benchmarks.hippo [--json] [--plot docs/hippo.png]

`error` is the root mean square of the difference over the past that is rebuilt: all of it for LegS, the window for the
measures that have one, and the last 3 units of time for LagT.
"""

import argparse
import json
import math
from typing import Any

import numpy as np

from s5.config.choices import Measure
from s5.ssm.hippo_projection import WINDOWS, compress, evaluate_basis, rebuild

MEASURES = (Measure.legs, Measure.legt, Measure.lagt, Measure.fout)
COLOURS = dict(zip(MEASURES, ("#0072b2", "#d55e00", "#009e73", "#cc79a7"), strict=True))
SIZES = (4, 8, 16, 32, 64)
END, STEP = 6.0, 0.01
TIMES = np.arange(STEP / 2, END, STEP)


def signal(t: np.ndarray) -> np.ndarray:
    """Return the function that is compressed: three sines and a bump."""
    waves = sum(np.sin(rate * t) / rate for rate in (1.0, 2.3, 5.1))
    return waves + 0.6 * np.exp(-((t - 4.8) ** 2) / 0.05)


def past(measure: Measure, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lags of the past that a measure sees, and the function that N coefficients rebuild there."""
    span = END if measure is Measure.legs else min(WINDOWS[measure], 3.0)
    lag = END - TIMES[span > END - TIMES]
    x = compress(signal(TIMES), N, measure, STEP)[-1]
    return lag, rebuild(x, lag / END if measure is Measure.legs else lag, measure)


def errors() -> dict[str, dict[int, float]]:
    """Return the error of every measure by the number of coefficients."""
    found: dict[str, dict[int, float]] = {}
    for measure in MEASURES:
        for N in SIZES:
            lag, rebuilt = past(measure, N)
            error = math.sqrt(np.mean((rebuilt - signal(END - lag)) ** 2))
            found.setdefault(measure.name, {})[N] = round(error, 5)
    return found


def plot(figures: dict[str, dict[int, float]], path: str) -> None:
    """Draw the bases, the function with what 16 coefficients rebuild, and the errors."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 7), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    for column, measure in enumerate(MEASURES):
        ax = figure.add_subplot(grid[0, column])
        lag = np.linspace(0, 12 if math.isinf(WINDOWS[measure]) else WINDOWS[measure], 400)
        for n, values in enumerate(evaluate_basis(measure, 6, lag)):
            ax.plot(lag, values, color=COLOURS[measure], alpha=1 - 0.14 * n, linewidth=1)
        unit = "fraction of the whole past" if measure is Measure.legs else "units of time"
        ax.set(title=f"{measure.name}: basis", xlabel=f"lag ({unit})")
    ax = figure.add_subplot(grid[1, :3])
    ax.plot(TIMES, signal(TIMES), color="black", linewidth=2, alpha=0.35, label="u")
    for measure in MEASURES:
        lag, rebuilt = past(measure, 16)
        ax.plot(END - lag, rebuilt, color=COLOURS[measure], linewidth=1, label=measure.name)
    ax.set(title=f"the past at time {END:g}, rebuilt from 16 coefficients", xlabel="time")
    ax.legend()
    ax = figure.add_subplot(grid[1, 3])
    for measure in MEASURES:
        by_size: dict[int, Any] = figures[measure.name]
        ax.loglog(list(by_size), list(by_size.values()), "o-", color=COLOURS[measure], markersize=3)
    ax.set(title="error", xlabel="coefficients N")
    ax.set_xticks(SIZES, [str(N) for N in SIZES])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the bases, a function and its rebuilt past")
    arguments = parser.parse_args()
    figures = errors()
    if arguments.plot:
        plot(figures, arguments.plot)
    if arguments.json:
        print(json.dumps({"error": figures}, indent=1))
        return
    print("measure " + "".join(f"{f'N = {N}':>10}" for N in SIZES))
    for name, by_size in figures.items():
        print(f"{name:8}" + "".join(f"{error:10.4f}" for error in by_size.values()))


if __name__ == "__main__":
    main()
