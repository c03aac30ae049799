"""Compares other tools with the launcher on one cluster: what is left of their sweeps after kills."""

import functools
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.recovery import MOST_S_OF_SLURM, killed_at, killed_at_random
from tests.engines.slurm import Slurm
from tests.kill.harness import Harness
from tests.kill.peer_harness import PeerHarness
from tests.kill.slurm_harness import SlurmHarness

NOT_INSTALLED = "not installed"
HYDRA = "hydra_submitit"
_MODULES = {
    "submitit_map_array": "submitit",
    HYDRA: "hydra_plugins.hydra_submitit_launcher.submitit_launcher",
}
_COUNTED = ("runs", "lost", "twice", "orphans", "attempts")


def is_installed(tool: str, python: str) -> bool:
    """Return whether an interpreter has a tool."""
    return not subprocess.run([python, "-c", f"import {_MODULES[tool]}"], capture_output=True, check=False).returncode


def recover(slurm: Slurm, rounds: int, seed: int, python: str) -> dict[str, Any]:
    """Return the remains of each tool's sweeps after kills at the same random times.

    In a round the command is started three times. Each time one to three processes are killed: of the command, of its
    jobs, or Slurm's daemons. Then the command is started once more. One more round kills the command as soon as sbatch
    has answered.

    Args:
        slurm: The cluster.
        rounds: Number of rounds with random times, for each tool.
        seed: Seed of the random times.
        python: The interpreter in which Hydra's launcher is installed.
    """
    found: dict[str, Any] = {}
    found["launch"] = _play(
        lambda root: SlurmHarness(root, runs=4, steps=5, slurm=slurm), rounds, seed, "array.numbered"
    )
    for tool in _MODULES:
        own = python if tool == HYDRA else sys.executable
        if not is_installed(tool, own):
            found[tool] = NOT_INSTALLED
            continue
        theirs = functools.partial(PeerHarness, runs=4, steps=5, slurm=slurm, tool=tool, python=own)
        found[tool] = _play(theirs, rounds, seed, "submitted")
    return found


def _play(make: Callable[[Path], Harness], rounds: int, seed: int, point: str) -> dict[str, Any]:
    """Play all rounds of one tool, and return the sums over the rounds."""
    sums: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
    kills: Counter[str] = Counter()
    for harness in _killed(make, rounds, seed, point):
        harness.finish()
        counts = harness.check()
        sums.update({name: counts[name] for name in _COUNTED})
        kills.update(harness.kills)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"rounds": rounds + 1, **sums, "kills": dict(kills)}


def _killed(make: Callable[[Path], Harness], rounds: int, seed: int, point: str) -> Iterator[Harness]:
    """Yield the harness of each round, after the kills."""
    rng = random.Random(seed)
    for kill in (*[killed_at_random(rng, MOST_S_OF_SLURM)] * rounds, killed_at([point])):
        with tempfile.TemporaryDirectory(prefix="kill-", ignore_cleanup_errors=True) as folder:
            harness = make(Path(folder))
            kill(harness)
            yield harness
