"""What `compat: upstream` switches, each by its name. This is the only place that decides it."""

from dataclasses import dataclass

from s5.config.choices import CompatWith


@dataclass(frozen=True, kw_only=True)
class Compat:
    """Where a training departs from this project's own behaviour. Without any switch it is ours.

    Attributes:
        padding_enters_layers: Padded steps enter the scans and the batch statistics.
        norms_and_biases_decay: Normalisation parameters and biases train at `optim.lr`, with decay.
        rate_set_after_update: The learning rate is set after an update, for the next: the first runs at the peak, the
            cosine begins with the training and ends a warm-up early, a fall at a plateau shows one update late.
        plateau_waits_longer: The rates fall one epoch later than `optim.lr_patience_epochs` says.
        ties_keep_first: Among models of equal accuracy the first is the best, whatever its loss.
        audio_scaled_twice: The constant added to the standard deviation of audio is 2^15 times larger.
        text_validates_on_test: IMDB trains on all training reviews, and validates on the test reviews.
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
    """Return the switches that the config's key `compat` stands for."""
    return UPSTREAM if choice is CompatWith.upstream else OURS
