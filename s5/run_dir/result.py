"""The files of a run directory, the exit codes of a training process, and the reading of metrics.

The training process writes these files, and the launcher reads them. Standard library only.

    RUN_DIR/run.json                       the launcher's record of the run; absent without a launcher
    RUN_DIR/config.yaml                    the resolved config
    RUN_DIR/attempts/K/metrics.jsonl       numbers that are bit-identical when the run is repeated
    RUN_DIR/attempts/K/timing.jsonl        numbers that differ from run to run: wall time, throughput, progress
    RUN_DIR/attempts/K/checkpoints/STEP/
    RUN_DIR/attempts/K/result.json         written last by the training process of attempt K
    RUN_DIR/result.json                    a hard link to it, or a copy, made once: the run has succeeded
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

from s5.run_dir.json_file import parse_json
from s5.run_dir.new_file import copy_to_new
from s5.run_dir.numbers import numbers_in
from s5.run_dir.regular_file import read_regular, read_tail

RESULT_VERSION = 1
_MOST_STEPS = 1e15

RUN = "run.json"
CONFIG = "config.yaml"
ATTEMPTS = "attempts"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
CHECKPOINTS = "checkpoints"
RESULT = "result.json"
AFTER = "after.json"  # in an attempt's folder, written by the launcher: the runs that the run comes after, by block
LOCK = "lock"  # in an attempt's folder: locked while a process executes the attempt
CLAIM = ".claim-"  # the prefix of an attempt's folder while it is being prepared

# The metrics that a training process can write into `result.json`. A run's own command writes other metrics.
FINAL_METRICS = (
    *("test/accuracy", "test/loss", "test/mse", "val/accuracy", "val/loss", "val/mse"),
    *("zero_shot/accuracy", "zero_shot/loss", "zero_shot/mse"),
)

# The environment variables that a supervisor sets for the training process.
RUN_DIR_VARIABLE = "LAUNCH_RUN_DIR"
ATTEMPT_DIR_VARIABLE = "LAUNCH_ATTEMPT_DIR"
SUPERVISOR_PIPE_VARIABLE = "LAUNCH_LIFELINE_FD"  # the descriptor of a pipe that closes when the supervisor ends
PLATFORM_VARIABLE = "S5_REQUIRE_PLATFORM"  # the JAX backend that the run was allocated, such as `gpu`
CWD_VARIABLE = "LAUNCH_CWD"  # the folder in which the user typed the command; relative paths start at this folder


class Exit(IntEnum):
    """The exit codes of a training process; the supervisor classifies attempts by them."""

    OK = 0
    CRASH = 1
    USER_ERROR = 2  # an error that the user must fix, in the config, the data or the device
    NAN = 3  # the loss is no longer finite
    OUT_OF_MEMORY = 4  # the device or the host refused an allocation
    STOPPED = 75  # stopped on request, with a checkpoint; the next attempt resumes


class ResultError(Exception):
    """An error about a malformed result file."""


def write_atomic(path: Path, text: str) -> None:
    """Write a file so that a reader sees either the whole old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_result(attempt_dir: Path, metrics: Mapping[str, float], **facts: Any) -> None:
    """Write an attempt's `result.json`; this is the last step of a successful training process.

    Args:
        attempt_dir: The attempt's folder.
        metrics: Final metrics by name, such as `test/accuracy` as a fraction; NaN is written as null.
        **facts: Further plain values, such as `steps` or `best_step`.
    """
    document = {"version": RESULT_VERSION, "metrics": {k: _finite(v) for k, v in metrics.items()}, **facts}
    write_atomic(attempt_dir / RESULT, json.dumps(document, sort_keys=True) + "\n")


def publish(attempt_dir: Path) -> bool:
    """Publish an attempt's result as the run's, unless the run has one.

    Args:
        attempt_dir: `RUN_DIR/attempts/K`, with its `result.json` written.

    Returns:
        Whether this call published the result; False if another attempt's result was published first.
    """
    return copy_to_new(attempt_dir / RESULT, attempt_dir.parent.parent / RESULT)


def read_result(run_dir: Path) -> dict[str, Any] | None:
    """Return a run's published result; None if it has no result yet.

    Raises:
        ResultError: If the file is malformed.
    """
    path = run_dir / RESULT
    try:
        document = parse_json(read_regular(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ResultError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("metrics"), dict):
        raise ResultError(f"{path}: not a result: it has no `metrics`")
    if document.get("version") != RESULT_VERSION:
        raise ResultError(f"{path}: format version {document.get('version')!r}; this code reads {RESULT_VERSION}")
    return document


def attempt_dirs(run_dir: Path) -> list[Path]:
    """Return the folders of a run's attempts, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        return [run_dir / ATTEMPTS / str(number) for number in numbers_in(os.listdir(run_dir / ATTEMPTS))]
    return []


def metrics_line(step: int, values: Mapping[str, Any]) -> str:
    """Return a line of `metrics.jsonl`: the step, then the values, with NaN as null."""
    return json.dumps({"step": step, **{k: _finite(v) for k, v in values.items()}}) + "\n"


def resume_line(attempt: int, step: int) -> str:
    """Return the first line of a resumed attempt's `metrics.jsonl`: the attempt and the step that it continues."""
    return json.dumps({"resumed_from": {"attempt": attempt, "step": step}}) + "\n"


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the metrics of a run over all its attempts, without gaps or repeats.

    The result ends with the lines of the newest attempt. If it resumed after step S of attempt A, A's lines up to S
    come first; if A resumed too, the same holds for A. A last line that was cut off by a kill is left out.
    """
    chains: dict[int, list[dict[str, Any]]] = {}
    newest: list[dict[str, Any]] = []
    for attempt_dir in attempt_dirs(run_dir):
        own = read_lines(attempt_dir / METRICS)
        if not own:
            continue
        start = own[0].get("resumed_from")
        resumed = cast("dict[str, Any]", start) if isinstance(start, dict) else {}
        earlier, last = resumed.get("attempt"), resumed.get("step")
        before = chains.get(earlier, []) if isinstance(earlier, int) and _is_number(last) else []
        newest = chains[int(attempt_dir.name)] = [
            *(line for line in before if line["step"] <= last),
            *(line for line in own if _is_number(line.get("step"))),
        ]
    return newest


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a `.jsonl` file, without an incomplete last line and without damaged lines.

    The list is empty if the file is missing or cannot be read.
    """
    try:
        text = read_regular(path)
    except OSError:
        return []
    whole = text[: text.rfind(b"\n") + 1].splitlines()
    return [found for line in whole if (found := _object(line)) is not None]


def last_line(path: Path, tail_bytes: int = 4096) -> dict[str, Any] | None:
    """Return the last complete JSON object in the last `tail_bytes` of a `.jsonl` file; None if there is no object."""
    try:
        tail = read_tail(path, tail_bytes)
    except OSError:
        return None
    lines = reversed(tail[: tail.rfind(b"\n") + 1].splitlines())
    return next((found for line in lines if (found := _object(line)) is not None), None)


def _object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a line; None for another line."""
    with contextlib.suppress(ValueError):
        value = parse_json(line) if line.startswith(b"{") else None
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < _MOST_STEPS


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
