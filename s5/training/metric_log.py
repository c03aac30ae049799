"""The numbers a run writes as it goes: `metrics.jsonl`, which a repeat repeats, and `timing.jsonl`, which none does."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from s5.config.run import Config
from s5.run_dir.result import METRICS, TIMING, metrics_line, resume_line
from s5.training.wandb_logger import Mirror


class Journal:
    """Writes an attempt's metrics and timing, line by line, and repeats the metrics to the mirror.

    Args:
        config: The run's config, for the mirror.
        attempt_dir: Where the two files are made; neither may exist.
    """

    def __init__(self, config: Config, attempt_dir: Path) -> None:
        # Unbuffered: a line is one write, and a kill tears at most the last.
        self._metrics = (attempt_dir / METRICS).open("xb", buffering=0)
        self._timing = (attempt_dir / TIMING).open("xb", buffering=0)
        self._mirror = Mirror(config, attempt_dir)
        self._last: tuple[int, float] | None = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.close()
        self._timing.close()
        self._mirror.close(succeeded=kind is None)

    def resume(self, attempt: int, step: int) -> None:
        """Say, before any line, that this attempt goes on after `step` of an earlier one."""
        self._metrics.write(resume_line(attempt, step).encode())

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Write one line of metrics: numbers that depend on nothing but the config."""
        self._metrics.write(metrics_line(step, values).encode())
        self._mirror.log(step, values)

    def mirror(self, step: int, values: Mapping[str, Any]) -> None:
        """Tell the mirror alone: of numbers that `result.json` holds."""
        self._mirror.log(step, values)

    def time(self, step: int, of: int, epoch: float) -> None:
        """Write one line of timing: where the run stands and how fast it goes.

        Args:
            step: Steps done.
            of: Steps in all.
            epoch: Epochs done.
        """
        now = time.time()
        line: dict[str, Any] = {"step": step, "of": of, "epoch": round(epoch, 4), "time": round(now, 3)}
        if self._last is not None and now > self._last[1]:
            line["steps_per_s"] = round((step - self._last[0]) / (now - self._last[1]), 3)
        self._last = (step, now)
        self._timing.write(json.dumps(line).encode() + b"\n")

    def flush(self) -> None:
        """Have the metrics on the disk before a checkpoint that counts on them."""
        os.fsync(self._metrics.fileno())


class Silence:
    """The journal of a process that does not lead its run: another one writes."""

    def __enter__(self) -> "Silence":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def resume(self, attempt: int, step: int) -> None:
        """Say nothing."""

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Write nothing."""

    def mirror(self, step: int, values: Mapping[str, Any]) -> None:
        """Tell nobody."""

    def time(self, step: int, of: int, epoch: float) -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Do nothing."""
