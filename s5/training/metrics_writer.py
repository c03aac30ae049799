"""Writers of `metrics.jsonl`, which is reproducible bit for bit, and `timing.jsonl`, which is not."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from s5.config.run import Config
from s5.run_dir.result import METRICS, TIMING, metrics_line, resume_line
from s5.training.wandb_logger import WandbLogger

# Called with a step and its metrics each time a line of metrics is written.
MetricsListener = Callable[[int, Mapping[str, Any]], object]


class MetricsWriter:
    """Writes an attempt's metrics and timing, line by line, and logs the metrics to W&B.

    Args:
        config: The run's config, for W&B.
        attempt_dir: The folder of the two files; neither may exist.
        on_metrics: Called for every line of metrics.
    """

    def __init__(self, config: Config, attempt_dir: Path, on_metrics: MetricsListener | None = None) -> None:
        # Unbuffered: each line is one write, so a kill can only cut off the last line.
        self._run_dir = attempt_dir.parent.parent
        self._metrics = (attempt_dir / METRICS).open("xb", buffering=0)
        self._timing = (attempt_dir / TIMING).open("xb", buffering=0)
        self._wandb = WandbLogger(config, attempt_dir)
        self._on_metrics = on_metrics
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
        """Write the first line: this attempt continues after `step` of the earlier `attempt`."""
        self._metrics.write(resume_line(attempt, step).encode())
        self._wandb.log_earlier(self._run_dir)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Write one line of metrics; the values must depend on the config alone, to be reproducible."""
        self._metrics.write(metrics_line(step, values).encode())
        self._wandb.log(step, values)
        if self._on_metrics is not None:
            self._on_metrics(step, values)

    def log_to_wandb(self, step: int, values: Mapping[str, Any]) -> None:
        """Log the metrics of `result.json`, to W&B only."""
        self._wandb.log(step, values)

    def write_timing(self, step: int, of: int, epoch: float) -> None:
        """Write one line of timing: progress and speed; none if the last line is about the same step.

        Args:
            step: Steps done.
            of: Total steps of the training.
            epoch: Epochs done.
        """
        if self._last is not None and self._last[0] == step:
            return
        now = time.time()
        line: dict[str, Any] = {"step": step, "of": of, "epoch": round(epoch, 4), "time": round(now, 3)}
        if self._last is not None and now > self._last[1]:
            line["steps_per_s"] = round((step - self._last[0]) / (now - self._last[1]), 3)
        self._last = (step, now)
        self._timing.write(json.dumps(line).encode() + b"\n")

    def flush(self) -> None:
        """Flush the metrics to disk, before the checkpoint of the same step is written."""
        os.fsync(self._metrics.fileno())


class NullWriter:
    """A writer that writes nothing, for every process but the first."""

    def __enter__(self) -> "NullWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write_resumed_from(self, attempt: int, step: int) -> None:
        """Write nothing."""

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Write nothing."""

    def log_to_wandb(self, step: int, values: Mapping[str, Any]) -> None:
        """Log nothing."""

    def write_timing(self, step: int, of: int, epoch: float) -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Do nothing."""
