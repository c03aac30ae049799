"""Kills the launcher, its supervisors and its runs many times, and counts runs that were lost or done twice.

    python -m benchmarks.recovery [--on local|slurm] [--rounds 50] [--seed 0] [--json]

Each round is a new sweep: the command is started, its processes are killed with SIGKILL at random times, and the
command is started once more. Then the files are compared with a journal that the runs wrote. Each named fault point has
an additional round. With `--on slurm` a real cluster is started on this machine. Its daemons are also killed, and its
queue is searched for orphans.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import run
from tests.engines.slurm import Slurm
from tests.kill.harness import LAUNCHER_POINTS, PAYLOAD_POINTS, SUPERVISOR_POINTS, Harness
from tests.kill.slurm_harness import ATTEMPT_POINTS, MENDING_POINTS, RESULT_POINTS, SUBMIT_POINTS, SlurmHarness

MOST_S = 0.8  # the longest pause before a kill
MOST_S_OF_SLURM = 1.5
KILLED_TIMES = 3  # how often the command is started and killed in a round


Kill = Callable[[Harness], None]
Make = Callable[[Path], Harness]


def play(name: str, make: Make, kill: Kill) -> dict[str, Any]:
    """Play one round, and return its results."""
    with tempfile.TemporaryDirectory() as folder:
        harness = make(Path(folder))
        began = time.perf_counter()
        kill(harness)
        typed = time.perf_counter()
        facts: dict[str, Any] = {"round": name, "ok": True}
        try:
            harness.finish()
            facts |= harness.check()
        except AssertionError as error:
            facts |= {"ok": False, "why": str(error)}
        left = harness.left_processes()
        facts["ok"] = facts["ok"] and not left
        return facts | {
            "kills": dict(harness.kills),
            "killing_s": round(typed - began, 3),
            "recovery_s": round(time.perf_counter() - typed, 3),
            "processes_left": len(left),
        }


def killed_at_random(rng: random.Random, most_s: float) -> Kill:
    """Return a function that kills at random times during a round."""

    def kill(harness: Harness) -> None:
        for _ in range(KILLED_TIMES):
            harness.kill_at_random(rng, most_s)

    return kill


def killed_at(points: Sequence[str]) -> Kill:
    """Return a function that kills at the named fault points, one command after the other."""

    def kill(harness: Harness) -> None:
        for point in points:
            harness.fault(point)

    return kill


def rounds_here(rounds: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Play every round on this machine."""
    for number in range(rounds):
        yield play(
            f"random {number}", lambda root: Harness(root, runs=4, steps=6, step_s=0.03), killed_at_random(rng, MOST_S)
        )
    for point in (*LAUNCHER_POINTS, *SUPERVISOR_POINTS, *PAYLOAD_POINTS):
        yield play(point, lambda root: Harness(root, runs=3, steps=2, retries=1), killed_at([point]))


def rounds_on_slurm(rounds: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Play every round on a cluster that is started for this."""
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        slurm = Slurm(Path(folder))
        slurm.up()
        try:
            for number in range(rounds):
                # In every second round, runs resume under the same job, which Slurm delays for some seconds.
                requeue = bool(number % 2)
                yield play(
                    f"random {number}",
                    lambda root, requeue=requeue: SlurmHarness(root, runs=4, steps=5, slurm=slurm, requeue=requeue),
                    killed_at_random(rng, MOST_S_OF_SLURM),
                )
            alone = ((point,) for point in (*SUBMIT_POINTS, *ATTEMPT_POINTS, *RESULT_POINTS))
            for points in (*alone, *MENDING_POINTS):
                name = " then ".join(points)
                yield play(name, lambda root: SlurmHarness(root, runs=2, steps=2, slurm=slurm), killed_at(points))
        finally:
            slurm.down()


def measure(on: str, rounds: int, seed: int) -> dict[str, Any]:
    """Play every round, and return the sums."""
    rng = random.Random(seed)
    played: list[dict[str, Any]] = []
    for facts in (rounds_on_slurm if on == "slurm" else rounds_here)(rounds, rng):
        played.append(facts)
        print(f"\r{len(played)} rounds", end="", file=sys.stderr, flush=True)
        if not facts["ok"]:
            print(f"\n{json.dumps(facts)}", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    kills: Counter[str] = Counter()
    for facts in played:
        kills.update({kind: n for kind, n in facts["kills"].items() if facts["round"].startswith("random")})
    return {
        "on": on,
        "rounds_at_random": rounds,
        "rounds_at_named_points": len(played) - rounds,
        "kills_at_random": dict(kills),
        "runs": sum(facts.get("runs", 0) for facts in played),
        "succeeded_exactly_once": sum(facts.get("published", 0) for facts in played if facts["ok"]),
        "orphans": sum(facts.get("orphans", 0) for facts in played),
        "attempts": sum(facts.get("attempts", 0) for facts in played),
        "failed_rounds": [facts for facts in played if not facts["ok"]],
        "typed_more_than_once": sum(facts.get("typed", 1) > 1 for facts in played),
        "recovery_s_worst": max(facts["recovery_s"] for facts in played),
    }


def main() -> int:
    """Measure and print; return 1 if a run was lost or done twice, else 0."""
    facts = run("benchmarks.recovery", __doc__, measure, {"on": ("local", "slurm"), "rounds": 50, "seed": 0})
    return 1 if facts["failed_rounds"] else 0


if __name__ == "__main__":
    sys.exit(main())
