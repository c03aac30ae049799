"""The section `wandb` of the configuration."""

from dataclasses import dataclass

from s5.config.choices import WandbMode
from s5.config.fields import not_science


@dataclass(kw_only=True)
class WandbConfig:
    """The copy of the metrics at Weights & Biases; disabled by default.

    Attributes:
        mode: Whether metrics are copied: not at all, to a folder, or to the server.
        project: The project at W&B.
        entity: The user or team of the project; None for the user's default.
    """

    mode: WandbMode = not_science(WandbMode.disabled)  # noqa: RUF009
    project: str = not_science("s5-launch")
    entity: str | None = not_science(None)
