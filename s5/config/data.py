"""Which data a run reads."""

from dataclasses import dataclass

from s5.config.checks import check_at_least, check_below_power_of_two, check_finite
from s5.config.choices import Permutation
from s5.config.fields import added, not_science


@dataclass(kw_only=True)
class DataConfig:
    """Which data a run reads, and how.

    Attributes:
        name: A data set of `s5.catalog`.
        version: Its version; the catalog raises it when the same files are converted to other arrays.
        permutation: The order of an image's pixels.
        split_seed: Seed of the split into training and validation, if the data set has no official one.
        zero_shot: Another data set of the same kind, such as the same recordings at another sampling rate. The best
            model is scored on its test split without having been trained on it; None for no such score.
        zero_shot_version: The version of `zero_shot`.
        zero_shot_rescale: Factor on every step there: its sampling interval over that of the training data.
        root: Folder with the raw files; None for the catalog's default places.
        cache: Folder for converted files; None for the default one.
        prefetch: Batches prepared ahead.
    """

    name: str = "digits"
    version: int = added(1)
    permutation: Permutation = Permutation.none
    split_seed: int = 42
    zero_shot: str | None = added(None)
    zero_shot_version: int = added(1)
    zero_shot_rescale: float = added(1.0)
    root: str | None = not_science(None)
    cache: str | None = not_science(None)
    prefetch: int = not_science(2)

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes, a negative number of batches, a factor that no step can have."""
        check_finite("data", self)
        check_at_least(0, data_split_seed=self.split_seed, data_prefetch=self.prefetch)
        check_at_least(1, data_version=self.version, data_zero_shot_version=self.zero_shot_version)
        check_below_power_of_two(64, data_split_seed=self.split_seed)
        if self.zero_shot_rescale <= 0:
            raise ValueError(f"data.zero_shot_rescale={self.zero_shot_rescale} must be positive")
        if self.zero_shot is None and self.zero_shot_rescale != 1:
            raise ValueError(f"data.zero_shot_rescale={self.zero_shot_rescale} needs a data.zero_shot, and it is null")
