"""The whole configuration of one run.

The dataclasses are Hydra's structured configs, so a misspelt key or a value of the wrong type is an error before
anything starts. A field with `science=False` in its metadata (a path, a device, logging) does not change the results,
so it is not part of the run's identity.
"""

from dataclasses import dataclass, field

from s5.config.checks import check_at_least, check_below_power_of_two
from s5.config.choices import CompatWith, Platform
from s5.config.data import DataConfig
from s5.config.families import S5Config
from s5.config.fields import added, not_science
from s5.config.model import ModelConfig
from s5.config.training import OptimConfig, TrainConfig
from s5.config.wandb import WandbConfig


@dataclass(kw_only=True)
class Config:
    """The configuration of one run.

    Attributes:
        recipe: Name of the experiment's recipe, for the reader; it does not change the results.
        seed: Seed of initialisation, data order and dropout.
        platform: The kind of device that the run requires.
        plugins: Folders or entry points of plug-ins, which add data sets, model families and recipes.
        plugin_hash: The hash of the content of `plugins`; set when the config is composed.
        compat: The code whose behaviour is reproduced, to repeat a published result; see `s5.config.compat`.
    """

    recipe: str = not_science("")
    seed: int = 0
    platform: Platform = not_science(Platform.any)  # noqa: RUF009
    compat: CompatWith = added(CompatWith.none)  # noqa: RUF009
    plugins: list[str] = field(default_factory=list, metadata={"science": False})
    plugin_hash: str = added("")
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=S5Config)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Raise ValueError if the seed is negative or needs more than 32 bits: JAX would cut it off."""
        check_at_least(0, seed=self.seed)
        check_below_power_of_two(32, seed=self.seed)
