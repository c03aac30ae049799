"""Kills the launcher, its supervisors and its runs again and again, and counts what was lost or done twice.

    python -m benchmarks.recovery [--rounds 50] [--seed 0] [--json]

Each round is a sweep of its own: the command is typed, processes of it are killed with SIGKILL at random instants,
the command is typed once more, and the files are held against a journal that the runs wrote themselves. Every named
fault point gets a round of its own beside them.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kill.harness import LAUNCHER_POINTS, PAYLOAD_POINTS, SUPERVISOR_POINTS, Harness

MOST_S = 0.8  # the longest pause before a kill
KILLED_TIMES = 3  # how often the command is typed and killed in a round


def play(name: str, kill: Callable[[Harness], None], **settings: Any) -> dict[str, Any]:
    """Play one round; return what it showed."""
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder), **settings)
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


def killed_at_random(rng: random.Random) -> Callable[[Harness], None]:
    """Return the killing of a round at random instants."""

    def kill(harness: Harness) -> None:
        for _ in range(KILLED_TIMES):
            harness.kill_at_random(rng, MOST_S)

    return kill


def measure(rounds: int, seed: int) -> dict[str, Any]:
    """Play every round; return the sums."""
    rng = random.Random(seed)
    played: list[dict[str, Any]] = []
    for point in (*LAUNCHER_POINTS, *SUPERVISOR_POINTS, *PAYLOAD_POINTS):
        played.append(play(point, lambda harness, p=point: harness.fault(p), runs=3, steps=2, retries=1))
    for number in range(rounds):
        played.append(play(f"random {number}", killed_at_random(rng), runs=4, steps=6, step_s=0.03))
        print(f"\r{number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    kills: Counter[str] = Counter()
    for facts in played:
        kills.update({kind: n for kind, n in facts["kills"].items() if facts["round"].startswith("random")})
    return {
        "rounds_at_random": rounds,
        "rounds_at_named_points": len(played) - rounds,
        "kills_at_random": dict(kills),
        "runs": sum(facts.get("runs", 0) for facts in played),
        "succeeded_exactly_once": sum(facts.get("published", 0) for facts in played if facts["ok"]),
        "attempts": sum(facts.get("attempts", 0) for facts in played),
        "failed_rounds": [facts for facts in played if not facts["ok"]],
        "recovery_s_worst": max(facts["recovery_s"] for facts in played),
        "seed": seed,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "commit": commit(),
    }


def commit() -> str:
    """Return the commit of the code that was measured."""
    answer = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def main() -> int:
    """Measure and print; 1 where a run was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="rounds at random instants")
    parser.add_argument("--seed", type=int, default=0, help="seed of the instants")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    facts = measure(asked.rounds, asked.seed)
    if asked.json:
        print(json.dumps(facts, indent=1))
    else:
        for key, value in facts.items():
            print(f"{key:24} {value}")
    return 1 if facts["failed_rounds"] else 0


if __name__ == "__main__":
    sys.exit(main())
