"""The section `data` of the configuration."""

from dataclasses import dataclass

from s5.config.checks import check_at_least, check_below_power_of_two, check_finite, take_names
from s5.config.choices import Permutation
from s5.config.fields import added, not_science


@dataclass(kw_only=True)
class DataConfig:
    """The data set of a run, its split and its files.

    Attributes:
        name: A data set of `s5.catalog`.
        version: Its version; the catalog raises it when the same files are converted to other arrays.
        permutation: The order of an image's pixels.
        split_seed: Seed of the split into training and validation, if the data set has no official split.
        zero_shot: Another data set of the same kind, such as the same recordings at another sampling rate. The best
            model is also scored on the test split of this data set, without training on it; None for no such score.
        zero_shot_version: The version of `zero_shot`.
        zero_shot_rescale: Factor on the step sizes for `zero_shot`: its sampling interval divided by that of the
            training data.
        root: Folder with the raw files; None for the catalog's default places.
        cache: Folder for converted files; None for the default folder.
        prefetch: Number of batches that are prepared ahead.
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
        """Raise ValueError if a seed, a version, a number of batches or a factor is out of range."""
        take_names("data", self)
        check_finite("data", self)
        check_at_least(0, data_split_seed=self.split_seed, data_prefetch=self.prefetch)
        check_at_least(1, data_version=self.version, data_zero_shot_version=self.zero_shot_version)
        check_below_power_of_two(64, data_split_seed=self.split_seed)
        if self.zero_shot_rescale <= 0:
            raise ValueError(f"data.zero_shot_rescale={self.zero_shot_rescale} must be positive")
        if self.zero_shot is None and self.zero_shot_rescale != 1:
            raise ValueError(f"data.zero_shot_rescale={self.zero_shot_rescale} needs data.zero_shot, which is null")
