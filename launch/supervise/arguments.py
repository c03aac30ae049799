"""The arguments of a supervisor, and its command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from launch.errors import LaunchError
from launch.specs.gpu import Gpu, parse_gpus

# The Python interpreter for training, if it differs from the launcher's.
PYTHON_VARIABLE = "LAUNCH_PYTHON"


@dataclass(frozen=True, kw_only=True)
class SupervisorArgs:
    """The arguments of a supervisor."""

    run_dir: str  # the run directory, absolute
    generation: int  # the manifest generation whose resources and retry policy apply
    retried: int = 0  # the newest generation that lists the run because the user asked to retry; 0 for none
    cores: tuple[int, ...] = ()  # the cores of its slot; empty if it may use every core that it finds
    gpus: tuple[Gpu, ...] = ()  # the GPUs of its slot
    hold: tuple[int, ...] = ()  # the descriptors of the slot's locks, which the command inherits

    def to_words(self) -> list[str]:
        """Return the arguments of the command line."""
        words = [self.run_dir, "--generation", str(self.generation), "--retried", str(self.retried)]
        for option, numbers in (("--cores", self.cores), ("--gpus", self.gpus), ("--hold", self.hold)):
            if numbers:
                words += [option, ",".join(map(str, numbers))]
        return words

    @classmethod
    def from_words(cls, words: Sequence[str]) -> SupervisorArgs:
        """Parse the words of `to_words`. Without argparse, which would double the start time of a supervisor."""
        known = {"--generation", "--retried", "--cores", "--gpus", "--hold"}
        options = dict(zip(words[1::2], words[2::2], strict=True))
        if not words or not known.issuperset(options) or "--generation" not in options:
            raise LaunchError("usage: python -m launch.supervise RUN_DIR --generation N [--retried N] [--cores 0,1] …")
        return cls(
            run_dir=os.path.abspath(words[0]),
            generation=int(options["--generation"]),
            retried=int(options.get("--retried", 0)),
            cores=_numbers(options.get("--cores")),
            gpus=parse_gpus(options.get("--gpus", "")),
            hold=_numbers(options.get("--hold")),
        )


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",")) if text else ()
