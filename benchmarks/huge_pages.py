"""Measures how much faster a training step on a CPU is with huge memory pages.

    python -m benchmarks.huge_pages [--json] [--repeats N]

small_s, huge_s      median seconds of a training step of mnist5k/sequential, without and with `glibc.malloc.hugetlb=1`
speedup              small_s / huge_s
small_faults, huge_faults   page faults of a step

Each repeat is a new process. Processes without and with huge pages alternate, so that noise affects both equally.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_STEPS = 8


def measure_here() -> dict[str, float]:
    """Return the median seconds and the mean page faults of a step in this process."""
    import jax

    from s5.config.compose import compose
    from s5.data import load
    from s5.data.batch import TrainBatches
    from s5.process.shutdown import LocalStopRequest
    from s5.training.loop import Loop
    from s5.training.metrics_writer import MetricsWriter

    config = compose(["experiment=mnist5k/sequential"])
    with tempfile.TemporaryDirectory() as folder:
        attempt = Path(folder, "attempts", "0")
        attempt.mkdir(parents=True)
        with MetricsWriter(config, attempt) as writer:
            dataset = load(config.data)
            loop = Loop(config, dataset, Path(folder), attempt, LocalStopRequest(), writer)
            batches = TrainBatches(dataset.splits["train"], config.train.examples_per_step, 0, 0)
            taken, faults = [], 0
            state, window = loop.trainer.state, loop.trainer.window
            for number in range(_STEPS + 1):
                batch = next(batches)
                before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
                state, window = loop.trainer.train_step(state, window, batch)
                jax.block_until_ready(state.step)
                if number:  # the first one compiles
                    taken.append(time.perf_counter() - start)
                    faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
            batches.close()
    return {"seconds": statistics.median(taken), "faults": faults / _STEPS}


def _measure_in_process(huge: int) -> dict[str, float]:
    environment = {**os.environ, "GLIBC_TUNABLES": f"glibc.malloc.hugetlb={huge}"}
    command = [sys.executable, "-m", "benchmarks.huge_pages", "--here"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(measure_here()))
        return
    small, huge = zip(*[(_measure_in_process(0), _measure_in_process(1)) for _ in range(asked.repeats)], strict=True)
    small_s, huge_s = (statistics.median(one["seconds"] for one in kind) for kind in (small, huge))
    figures = {
        "small_s": round(small_s, 3),
        "huge_s": round(huge_s, 3),
        "speedup": round(small_s / huge_s, 2),
        "small_faults": round(statistics.median(one["faults"] for one in small)),
        "huge_faults": round(statistics.median(one["faults"] for one in huge)),
    }
    print(json.dumps(figures) if asked.json else "\n".join(f"{name:14} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
