"""The mirror of `metrics.jsonl` at Weights & Biases. Off unless asked for; never the truth, never a reason to fail."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s5.config.choices import WandbMode
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.errors import say


class WandbLogger:
    """Repeats every line of the metrics to W&B, or does nothing.

    Args:
        config: The run's config. A resumed run goes on in the W&B run of its earlier attempts.
        attempt_dir: Where W&B keeps its files: `attempts/K/wandb`.
    """

    def __init__(self, config: Config, attempt_dir: Path) -> None:
        self._run: Any = None
        if config.wandb.mode is not WandbMode.disabled:
            self._guard(lambda: self._open(config, attempt_dir))

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Repeat one line of the metrics."""
        if self._run is not None:
            self._guard(lambda: self._run.log(dict(values), step=step))

    def close(self, *, succeeded: bool) -> None:
        """Say how the attempt ended and let go."""
        if self._run is not None:
            self._guard(lambda: self._run.finish(exit_code=0 if succeeded else 1))
            self._run = None

    def _open(self, config: Config, attempt_dir: Path) -> None:
        try:
            import wandb
        except ImportError:
            say(
                f"s5: wandb.mode={config.wandb.mode.name}, but wandb is not installed; training goes on without it\n"
                "hint: pip install 's5-launch[wandb]'"
            )
            return
        values = to_dict(config)
        self._run = wandb.init(
            project=config.wandb.project,
            entity=config.wandb.entity,
            mode=config.wandb.mode.name,  # pyright: ignore[reportArgumentType]
            id=wandb_run_id(config, attempt_dir),
            resume="allow",
            name=f"{config.recipe or 'run'}-s{config.seed}",
            dir=str(attempt_dir),
            config=values,
            # The log and the machine's load are the launcher's business, and nobody waits long for a mirror.
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
        """Do it; where it fails, say so once and go on without the mirror."""
        try:
            action()
        except Exception as error:  # whatever a mirror can throw, the run does not end by it
            self._run = None
            say(f"s5: the W&B mirror failed and is off from here on: {type(error).__name__}: {error}")


def wandb_run_id(config: Config, attempt_dir: Path) -> str:
    """Return the id of a run at W&B: one for all its attempts, and another where another sweep has the same science.

    Args:
        config: The run's config. Two `--run-dir` of one name on different paths differ in it.
        attempt_dir: `<sweep>/<run>/attempts/K`.

    Returns:
        16 hex digits.
    """
    sweep_and_run = attempt_dir.absolute().parts[-4:-2]
    return hashlib.sha256("\0".join((*sweep_and_run, science_hash(to_dict(config)))).encode()).hexdigest()[:16]
