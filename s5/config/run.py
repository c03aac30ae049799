"""The configuration of one run, whole.

The dataclasses are Hydra's structured configs, so a misspelt key or a value of the wrong type is refused before
anything starts. A field whose metadata says `science=False` (a path, a device, logging) does not change what is
measured: it is left out of the run's identity.
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
        recipe: Name of the experiment's recipe, for the reader; it does not change the numbers.
        seed: Seed of initialisation, data order and dropout.
        platform: The device that must be found.
        plugins: Folders or entry points of plug-ins, which bring data sets, model families and recipes.
        plugin_hash: The hash of their content; set from it.
        compat: Whose faults are brought back, to reproduce a published number as it was made; see `s5.config.compat`.
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
        """Refuse a seed that no generator takes, or that JAX would take for a smaller one: it keeps 32 bits."""
        check_at_least(0, seed=self.seed)
        check_below_power_of_two(32, seed=self.seed)
