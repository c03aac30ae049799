"""The switches that `compat: upstream` turns on. Only this module reads the key; all other code reads the switches."""

from dataclasses import dataclass

from s5.config.choices import CompatWith


@dataclass(frozen=True, kw_only=True)
class Compat:
    """Switches that replace this project's behaviour by that of the S5 repository; all are off by default.

    Attributes:
        padding_enters_layers: Padded steps enter the scans and the batch statistics.
        norms_and_biases_decay: Normalisation parameters and biases train at `optim.lr`, with decay.
        rate_set_after_update: Each update sets the learning rate of the next update. So the first update has the peak
            rate, the cosine starts with the training and ends one warm-up early, and a plateau lowers the rate one
            update late.
        plateau_waits_longer: The learning rates fall one epoch later than `optim.lr_patience_epochs` says.
        ties_keep_first: Of models with equal accuracy the first is the best; by default the one with the lowest loss.
        audio_scaled_twice: The constant that is added to the standard deviation of audio is 2^15 times larger.
        text_validates_on_test: IMDB trains on all training reviews and validates on the test reviews.
    """

    padding_enters_layers: bool = False
    norms_and_biases_decay: bool = False
    rate_set_after_update: bool = False
    plateau_waits_longer: bool = False
    ties_keep_first: bool = False
    audio_scaled_twice: bool = False
    text_validates_on_test: bool = False


OURS = Compat()
UPSTREAM = Compat(
    padding_enters_layers=True,
    norms_and_biases_decay=True,
    rate_set_after_update=True,
    plateau_waits_longer=True,
    ties_keep_first=True,
    audio_scaled_twice=True,
    text_validates_on_test=True,
)


def compat_switches(choice: CompatWith) -> Compat:
    """Return the switches that a value of the config's key `compat` turns on."""
    return UPSTREAM if choice is CompatWith.upstream else OURS
