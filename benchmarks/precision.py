"""Compares the accuracy of bfloat16 with that of float32, in the runs of `launch sweep sweeps/precision.yaml`.

    python -m benchmarks.precision [--runs DIR] [--json] [--plot FILE.png]

The two runs of a pair have the same seed, so the same initial values, batches and dropout. `difference` is the mean
difference of their test accuracies, bfloat16 minus float32, in percentage points, with its 95 % interval (Student's t).
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from scipy import stats

from launch.store.state import State
from launch.store.store import Store
from s5.config.choices import Precision
from s5.run_dir.result import read_metrics, read_result

SWEEP = "precision"
PRECISIONS = tuple(precision.name for precision in Precision)


def finished_pairs(store: Store) -> dict[int, dict[str, Path]]:
    """Return the run directories by seed and precision, for seeds whose two runs have both succeeded."""
    found: dict[int, dict[str, Path]] = {}
    for view in store.sweep(SWEEP).views():
        if view.state is State.SUCCEEDED:
            found.setdefault(view.seed, {})[view.settings["model.precision"]] = Path(view.run_dir)
    return {seed: runs for seed, runs in sorted(found.items()) if len(runs) == len(PRECISIONS)}


def accuracy(run_dir: Path) -> float:
    """Return a finished run's test accuracy in per cent."""
    result = read_result(run_dir)
    if result is None:
        raise SystemExit(f"{run_dir}: no result")
    return 100 * result["metrics"]["test/accuracy"]


def compare(pairs: dict[int, dict[str, Path]]) -> dict[str, Any]:
    """Return both accuracies of every seed, and the mean difference with its 95 % interval."""
    rows = {seed: {name: accuracy(run_dir) for name, run_dir in runs.items()} for seed, runs in pairs.items()}
    differences = [row["bfloat16"] - row["float32"] for row in rows.values()]
    if len(differences) < 2:
        raise SystemExit(f"{len(differences)} finished pairs; type: launch sweep sweeps/{SWEEP}.yaml")
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return {
        "pairs": [
            {"seed": seed} | {name: round(value, 2) for name, value in row.items()} for seed, row in rows.items()
        ],
        "difference": round(mean, 3),
        "interval_95": [round(mean - half, 3), round(mean + half, 3)],
    }


def plot(pairs: dict[int, dict[str, Path]], path: str) -> None:
    """Draw the training loss and the validation accuracy of all runs, one colour for each precision."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    panels = (("train/loss", "training loss (nats)", 1.0), ("val/accuracy", "validation accuracy (%)", 100.0))
    for ax, (metric, title, factor) in zip(axes, panels, strict=True):
        for name, colour, style in zip(PRECISIONS, ("#0072b2", "#d55e00"), ("-", "--"), strict=True):
            for number, runs in enumerate(pairs.values()):
                lines = [line for line in read_metrics(runs[name]) if metric in line]
                steps, values = [line["step"] for line in lines], [factor * line[metric] for line in lines]
                label = None if number else name
                ax.plot(steps, values, style, color=colour, alpha=0.8, linewidth=1, label=label)
        ax.set(xlabel="step", ylabel=title)
        ax.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[0].legend()
    figure.suptitle(f"digits/s5 in both precisions, {len(pairs)} paired seeds")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of the sweeps; default: $LAUNCH_RUNS, else ./runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the learning curves")
    arguments = parser.parse_args()
    pairs = finished_pairs(Store(arguments.runs))
    figures = compare(pairs)
    if arguments.plot:
        plot(pairs, arguments.plot)
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    for row in figures["pairs"]:
        print(f"seed {row['seed']}   float32 {row['float32']:6.2f} %   bfloat16 {row['bfloat16']:6.2f} %")
    low, high = figures["interval_95"]
    print(f"bfloat16 - float32: {figures['difference']:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}")


if __name__ == "__main__":
    main()
