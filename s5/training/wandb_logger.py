"""Logs the metrics to Weights & Biases. It is off by default, and its errors never end a run."""

import hashlib
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s5.config.choices import WandbMode
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.errors import say
from s5.run_dir.result import RUN, read_metrics


class WandbLogger:
    """Logs every line of the metrics to W&B, or does nothing if W&B is disabled.

    Args:
        config: The run's config. A resumed run continues the W&B run of its earlier attempts.
        attempt_dir: The attempt's folder; W&B keeps its files in `attempts/K/wandb`.
    """

    def __init__(self, config: Config, attempt_dir: Path) -> None:
        self._run: Any = None
        if config.wandb.mode is not WandbMode.disabled:
            self._guard(lambda: self._open_without_questions(config, attempt_dir))

    def log_earlier(self, run_dir: Path) -> None:
        """Log the metrics of the earlier attempts that this attempt continues.

        W&B loses the last lines of a killed attempt, and the folder of an attempt is uploaded alone. If W&B has a line
        already, as in the mode `online`, it ignores the repetition.
        """
        if self._run is not None:
            for line in read_metrics(run_dir):
                self.log(line["step"], {k: _number(v) for k, v in line.items() if k != "step"})

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Log one line of the metrics."""
        if self._run is not None:
            self._guard(lambda: self._run.log(dict(values), step=step))

    def close(self, *, succeeded: bool) -> None:
        """Tell W&B how the attempt ended."""
        if self._run is not None:
            self._guard(lambda: self._run.finish(exit_code=0 if succeeded else 1))
            self._run = None

    def _open_without_questions(self, config: Config, attempt_dir: Path) -> None:
        """Open the W&B run. At a terminal W&B would ask for an account and wait, so it sees no terminal."""
        terminal = sys.stdin
        with open(os.devnull) as sys.stdin:
            try:
                self._open(config, attempt_dir)
            finally:
                sys.stdin = terminal

    def _open(self, config: Config, attempt_dir: Path) -> None:
        try:
            import wandb
        except ImportError:
            say(
                f"s5: wandb.mode={config.wandb.mode.name}, but wandb is not installed; training continues without it\n"
                "hint: pip install 's5-launch[wandb]'"
            )
            return
        group, name = _group_and_name(config, attempt_dir)
        self._run = wandb.init(
            project=config.wandb.project,
            entity=config.wandb.entity,
            mode=config.wandb.mode.name,  # pyright: ignore[reportArgumentType]
            id=wandb_run_id(config, attempt_dir),
            resume="allow",
            name=name,
            group=group,
            dir=str(attempt_dir),
            config=to_dict(config),
            # The launcher keeps the log and measures the load. Short timeouts, since training waits for them.
            settings=wandb.Settings(
                console="off",
                silent=True,
                x_disable_stats=True,
                disable_git=True,
                init_timeout=30.0,
                finish_timeout=15.0,
            ),
        )

    def _guard(self, action: Any) -> None:
        """Call W&B; if that fails, print it once and switch logging off."""
        try:
            action()
        except Exception as error:  # no error of W&B may end the run
            self._run = None
            say(f"s5: W&B logging failed and is now off: {type(error).__name__}: {error}")


def _group_and_name(config: Config, attempt_dir: Path) -> tuple[str | None, str]:
    """Return the group and the name of a run in W&B: its sweep and its run id, which has the settings that vary."""
    run_dir = attempt_dir.absolute().parents[1]
    if (run_dir / RUN).exists():
        return run_dir.parent.name, run_dir.name
    return None, f"{config.recipe or 'run'}-s{config.seed}"


def _number(value: Any) -> Any:
    return math.nan if value is None else value  # metrics.jsonl has null for NaN


def wandb_run_id(config: Config, attempt_dir: Path) -> str:
    """Return the W&B id of a run. All its attempts share it; equal runs of two sweeps have different ids.

    Args:
        config: The run's config. Its hash tells runs apart whose --run-dir folders have the same last two names.
        attempt_dir: `<sweep>/<run>/attempts/K`.

    Returns:
        16 hex digits.
    """
    sweep_and_run = attempt_dir.absolute().parts[-4:-2]
    return hashlib.sha256("\0".join((*sweep_and_run, science_hash(to_dict(config)))).encode()).hexdigest()[:16]
