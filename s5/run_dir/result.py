"""What a run leaves behind: the names of its files, its exit codes, and how its metrics are read back.

The training process writes these files and the launcher reads them; this page is all that the two share about a
run directory. Standard library only.

    RUN_DIR/run.json                       what the launcher knows the run by; absent where it has no launcher
    RUN_DIR/config.yaml                    the resolved config
    RUN_DIR/attempts/K/metrics.jsonl       numbers that a repeat of the run repeats bit for bit
    RUN_DIR/attempts/K/timing.jsonl        numbers that differ from run to run: wall time, throughput, progress
    RUN_DIR/attempts/K/checkpoints/STEP/
    RUN_DIR/attempts/K/result.json         written last by the training process of attempt K
    RUN_DIR/result.json                    a hard link to it, made once: the run has succeeded
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

RESULT_VERSION = 1

RUN = "run.json"
CONFIG = "config.yaml"
ATTEMPTS = "attempts"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
CHECKPOINTS = "checkpoints"
RESULT = "result.json"
LOCK = "lock"  # of an attempt: held by whoever works on it
CLAIM = ".claim-"  # how the folder of an attempt begins while it is being prepared

# The metrics in the `result.json` of a training process; another command leaves what it likes.
FINAL_METRICS = (
    *("test/accuracy", "test/loss", "test/mse", "val/accuracy", "val/loss", "val/mse"),
    *("zero_shot/accuracy", "zero_shot/loss", "zero_shot/mse"),
)

# What a supervisor tells the training process through its environment.
RUN_DIR_VARIABLE = "LAUNCH_RUN_DIR"
ATTEMPT_DIR_VARIABLE = "LAUNCH_ATTEMPT_DIR"
SUPERVISOR_PIPE_VARIABLE = "LAUNCH_LIFELINE_FD"  # a pipe that closes when the supervisor is gone
PLATFORM_VARIABLE = "S5_REQUIRE_PLATFORM"  # what JAX must compute on, such as `gpu`, where the run was given one


class Exit(IntEnum):
    """The exit codes of a training process; the supervisor classifies attempts by them."""

    OK = 0
    CRASH = 1
    USER_ERROR = 2  # a config or data set it cannot run with
    NAN = 3  # the loss is not a number any more
    OUT_OF_MEMORY = 4  # the device or the host refused an allocation
    STOPPED = 75  # asked to stop; a checkpoint is written; run it again to go on


class ResultError(Exception):
    """A result file that cannot be read."""


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` with `text` so that a reader sees the old file or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_result(attempt_dir: Path, metrics: Mapping[str, float], **facts: Any) -> None:
    """Write an attempt's `result.json`: the last thing a successful training process does.

    Args:
        attempt_dir: The attempt's folder.
        metrics: Final numbers by name, such as `test/accuracy` as a fraction; NaN is written as null.
        **facts: More plain values, such as `steps` or `best_step`.
    """
    document = {"version": RESULT_VERSION, "metrics": {k: _finite(v) for k, v in metrics.items()}, **facts}
    write_atomic(attempt_dir / RESULT, json.dumps(document, sort_keys=True) + "\n")


def publish(attempt_dir: Path) -> bool:
    """Make an attempt's result the run's, unless the run has one.

    Args:
        attempt_dir: `RUN_DIR/attempts/K`, with its `result.json` written.

    Returns:
        Whether this call did it. False: another attempt was first; its result stands.
    """
    try:
        os.link(attempt_dir / RESULT, attempt_dir.parent.parent / RESULT)
    except FileExistsError:
        return False
    return True


def read_result(run_dir: Path) -> dict[str, Any] | None:
    """Return a run's published result, or None while there is none.

    Raises:
        ResultError: Where the file is there and is no result.
    """
    path = run_dir / RESULT
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ResultError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("metrics"), dict):
        raise ResultError(f"{path}: no result: it has no `metrics`")
    if document.get("version") != RESULT_VERSION:
        raise ResultError(f"{path}: format version {document.get('version')!r}; this code reads {RESULT_VERSION}")
    return document


def attempt_dirs(run_dir: Path) -> list[Path]:
    """Return the folders of a run's attempts, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        numbers = sorted(int(entry.name) for entry in os.scandir(run_dir / ATTEMPTS) if entry.name.isdigit())
        return [run_dir / ATTEMPTS / str(number) for number in numbers]
    return []


def metrics_line(step: int, values: Mapping[str, Any]) -> str:
    """Return one line of `metrics.jsonl`: the step, then the values, NaN as null."""
    return json.dumps({"step": step, **{k: _finite(v) for k, v in values.items()}}) + "\n"


def resume_line(attempt: int, step: int) -> str:
    """Return the first line of a resumed attempt's `metrics.jsonl`: it goes on after `step` of `attempt`."""
    return json.dumps({"resumed_from": {"attempt": attempt, "step": step}}) + "\n"


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the metrics of a run over all its attempts: no gap, no repeat.

    The newest attempt's lines stand. One that resumed after step S of attempt A stands on A's lines up to S, which
    stand on others likewise; one that started afresh stands alone. A last line that a kill tore is left out.
    """
    chains: dict[int, list[dict[str, Any]]] = {}
    newest: list[dict[str, Any]] = []
    for attempt_dir in attempt_dirs(run_dir):
        own = read_lines(attempt_dir / METRICS)
        if not own:
            continue
        resumed = own[0].get("resumed_from")
        before = (
            [line for line in chains.get(resumed["attempt"], []) if line["step"] <= resumed["step"]] if resumed else []
        )
        newest = chains[int(attempt_dir.name)] = before + [line for line in own if "step" in line]
    return newest


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a `.jsonl` file, without a torn last line; empty where there is no file."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [json.loads(line) for line in whole if line.startswith("{")]


def last_line(path: Path, tail_bytes: int = 4096) -> dict[str, Any] | None:
    """Return the last whole JSON object of a `.jsonl` file, reading only its end; None where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - tail_bytes))
            tail = file.read()
    except FileNotFoundError:
        return None
    for line in reversed(tail[: tail.rfind(b"\n") + 1].splitlines()):
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                return value
    return None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
