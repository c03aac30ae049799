"""The batch size of `train.batch_size=auto`: the largest of a grid whose training step fits into a device's memory.

The compiler says how much memory a step needs, so nothing is executed and nothing runs out of memory.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from s5.config.run import Config
from s5.config.training import AUTO
from s5.data import Dataset
from s5.errors import UserError, say
from s5.process.memory import usable_bytes
from s5.process.sharding import Devices
from s5.training.trainer import Trainer

_GIB = 1 << 30


def settle_batch_size(
    config: Config, dataset: Dataset, devices: Devices, before: int | None
) -> tuple[Config, int | None]:
    """Return a config with a number in place of `train.batch_size=auto`, and this number; None if there is no `auto`.

    Args:
        config: The run's config.
        dataset: Its data.
        devices: The devices of the run.
        before: The number in the run's checkpoint, which is kept; None without a checkpoint.

    Raises:
        UserError: If no batch fits.
    """
    if config.train.batch_size != AUTO:
        return config, None
    found = before or find_batch_size(config, dataset, devices)
    return _with_batch_size(config, found), found


def _with_batch_size(config: Config, batch_size: int) -> Config:
    train = dataclasses.replace(config.train, batch_size=batch_size, max_batch_size=None)
    return dataclasses.replace(config, train=train)


def find_batch_size(config: Config, dataset: Dataset, devices: Devices) -> int:
    """Return the largest batch size that fits.

    The grid is the number of devices times `train.microbatches` times the powers of two.

    Args:
        config: The run's config; its `train.max_batch_size` limits the grid, as the number of training examples does.
        dataset: Its data.
        devices: The devices of the run. All processes get the number that process 0 finds.

    Raises:
        UserError: If not even the smallest batch fits, or the training split is smaller.
    """
    train, examples = config.train, len(dataset.splits["train"])
    smallest = devices.count * train.microbatches
    most = min(examples, train.max_batch_size or examples)
    sizes = [smallest << power for power in range(most.bit_length()) if smallest << power <= most]
    if not sizes:
        raise UserError(
            f"train.batch_size=auto: the smallest batch, of {devices.count} x {train.microbatches} examples (devices x "
            f"train.microbatches), is above {most}, the smaller of train.max_batch_size and the training split",
            hint="choose fewer devices or microbatches, or a larger train.max_batch_size",
        )
    trainer, limit = Trainer(_with_batch_size(config, sizes[0]), dataset, devices), usable_bytes()
    need = functools.cache(trainer.step_bytes)  # each call compiles a step
    found = devices.broadcast_from_main(largest_that_fits(need, limit, sizes))
    if devices.processes.is_main:
        say(
            f"s5: train.batch_size=auto: {found} examples, whose step needs {need(found) / _GIB:.2f} of "
            f"{limit / _GIB:.2f} GiB"
        )
    return found


def largest_that_fits(need: Callable[[int], int], limit: int, sizes: Sequence[int]) -> int:
    """Return the last of ascending sizes whose need is within the limit, with few calls of `need`.

    Args:
        need: The bytes that a size needs; it grows with the size. It is expensive.
        limit: The bytes that are there.
        sizes: The sizes to choose from.

    Raises:
        UserError: If even the first size needs more.
    """
    if need(sizes[0]) > limit:
        raise UserError(
            f"train.batch_size=auto: even the smallest batch, {sizes[0]}, needs {need(sizes[0]) / _GIB:.2f} GiB a "
            f"step; only {limit / _GIB:.2f} GiB may be used",
            hint="choose a smaller model, model.remat=full, or model.precision=bfloat16",
        )
    fits, fails = 0, len(sizes)
    while fails - fits > 1:
        # Memory is nearly linear in the size, so the line through two sizes usually hits the answer or its neighbour.
        line = _line(need, sizes) if fits else lambda size: 0.0
        likely = max((i for i, size in enumerate(sizes) if line(size) <= limit), default=0) if fits else 1
        middle = min(max(likely, fits + 1), fails - 1)
        fits, fails = (middle, fails) if need(sizes[middle]) <= limit else (fits, middle)
    return sizes[fits]


def _line(need: Callable[[int], int], sizes: Sequence[int]) -> Callable[[int], float]:
    slope = (need(sizes[1]) - need(sizes[0])) / (sizes[1] - sizes[0])
    return lambda size: need(sizes[0]) + slope * (size - sizes[0])
