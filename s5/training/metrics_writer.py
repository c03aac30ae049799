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
from s5.training.wandb_logger import WandbLogger


class MetricsWriter:
    """Writes an attempt's metrics and timing, line by line, and repeats the metrics to the mirror.

    Args:
        config: The run's config, for the mirror.
        attempt_dir: Where the two files are made; neither may exist.
    """

    def __init__(self, config: Config, attempt_dir: Path) -> None:
        # Unbuffered: a line is one write, and a kill tears at most the last.
        self._metrics = (attempt_dir / METRICS).open("xb", buffering=0)
        self._timing = (attempt_dir / TIMING).open("xb", buffering=0)
        self._wandb = WandbLogger(config, attempt_dir)
        self._last: tuple[int, float] | None = None

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.close()
        self._timing.close()
        self._wandb.close(succeeded=kind is None)

    def write_resumed_from(self, attempt: int, step: int) -> None:
        """Say, before any line, that this attempt goes on after `step` of an earlier one."""
        self._metrics.write(resume_line(attempt, step).encode())

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Write one line of metrics: numbers that depend on nothing but the config."""
        self._metrics.write(metrics_line(step, values).encode())
        self._wandb.log(step, values)

    def log_to_wandb(self, step: int, values: Mapping[str, Any]) -> None:
        """Tell the mirror alone: of numbers that `result.json` holds."""
        self._wandb.log(step, values)

    def write_timing(self, step: int, of: int, epoch: float) -> None:
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


class NullWriter:
    """The journal of a process that does not lead its run: another one writes."""

    def __enter__(self) -> "NullWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write_resumed_from(self, attempt: int, step: int) -> None:
        """Say nothing."""

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Write nothing."""

    def log_to_wandb(self, step: int, values: Mapping[str, Any]) -> None:
        """Tell nobody."""

    def write_timing(self, step: int, of: int, epoch: float) -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Do nothing."""
