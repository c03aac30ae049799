"""Makes half of the planned runs look finished, and a tenth failed: `python -m benchmarks.finished_runs runs/SWEEP`."""

import json
import sys
from pathlib import Path

from launch.store.record_json import to_json
from launch.store.state import Reason
from s5.run_dir.result import metrics_line, publish, write_result
from tests.launch.records import attempt_record


def main() -> None:
    """Write an attempt into six of every ten run directories."""
    runs = sorted(path.parent for path in Path(sys.argv[1]).glob("*/run.json"))
    for number, run_dir in enumerate(runs):
        if number % 10 < 6:
            _execute(run_dir, Reason.CRASH if number % 10 == 5 else Reason.SUCCESS)


def _execute(run_dir: Path, reason: Reason) -> None:
    attempt = run_dir / "attempts" / "0"
    attempt.mkdir(parents=True)
    failed = reason != Reason.SUCCESS
    record = attempt_record(
        snapshot="0" * 64,
        command=("python", "-m", "s5", "train", str(run_dir)),
        host="localhost",
        boot_id="",
        pid=1,
        started=1000.0,
        ended=1100.0,
        reason=reason,
        exit_code=int(failed),
        message="ValueError: something was not as it should be" if failed else None,
    )
    (attempt / "attempt.json").write_text(json.dumps(to_json(record)))
    (attempt / "log.txt").write_text("epoch 1\n" * 100)
    (attempt / "metrics.jsonl").write_text("".join(metrics_line(step, {"train/loss": 1.0}) for step in range(100)))
    (attempt / "timing.jsonl").write_text('{"step": 100, "of": 100}\n')
    if not failed:
        write_result(attempt, {"test/accuracy": 0.9})
        publish(attempt)


if __name__ == "__main__":
    main()
