"""Loading of plug-ins' data sets: their examples are checked, padded, split and scaled."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int

from s5.catalog import DataError, check_available, data_root
from s5.config.choices import Head
from s5.config.data import DataConfig
from s5.config.plugins import PluginDataset, place_in
from s5.data.dataset import Dataset, Split
from s5.data.split import random_splits, stratified_split
from s5.errors import UserError, did_you_mean, shortened
from s5.plugins import Examples

_HELD_OUT = 0.15  # the share of `val` and the share of `test`, if the data set has no splits of its own
_SPLITS = ("train", "val", "test")
_DISTINCT_VALUES = 100  # the least number of float32 values in the range of a feature


def load_plugin_data(own: PluginDataset, config: DataConfig) -> Dataset:
    """Load a plug-in's data set.

    Args:
        own: The declaration of the data set.
        config: The section `data`, which has the folder of the files and the seed of the split.

    Returns:
        The data set. Every feature is scaled to mean 0 and standard deviation 1 over the training split.

    Raises:
        DataError: If `load` refuses its files, or an example does not fit the declaration; the message has the split,
            the example, its name and the problem.
    """
    check_available(own.name, config.root)
    loaded = _load(own, None if config.root is None else data_root(config.root))
    if isinstance(loaded, Examples):
        splits = _split(own, _check(own, "", loaded), config.split_seed)
    elif isinstance(loaded, Mapping) and set(loaded) == set(_SPLITS):
        splits = {name: _check(own, name, loaded[name]) for name in _SPLITS}
    else:
        found = sorted(map(str, loaded)) if isinstance(loaded, Mapping) else type(loaded).__name__
        raise DataError(
            f"data.name={own.name}: its `load` returned {found}",
            hint='return Examples, or {"train": Examples, "val": Examples, "test": Examples}',
        )
    _check_classes(own, [labels for _, labels, _ in splits.values()])
    mean, std = _moments(*splits["train"][::2])
    return Dataset(
        name=own.name,
        n_classes=own.n_classes,
        length=own.length,
        d_input=own.d_input,
        head=own.head,
        class_names=tuple(own.class_names),
        splits={
            name: Split(inputs=inputs, labels=labels, lengths=lengths, offset=mean, full_scale=std)
            for name, (inputs, labels, lengths) in splits.items()
        },
    )


def _load(own: PluginDataset, root: Path | None) -> Any:
    """Call `load`. What it says about its data by such an error is the user's to mend: trying again does not help."""
    try:
        return own.load(root)
    except DataError:
        raise
    except UserError as error:  # such as `read_csv`
        raise DataError(f"data.name={own.name}: {error.message}", hint=error.hint) from error
    except (ValueError, AssertionError, FileNotFoundError, NotADirectoryError) as error:
        code = getattr(own.load, "__code__", None)
        place = place_in(error, Path(code.co_filename).parent) if code is not None else ""
        kind = "" if type(error) in (ValueError, AssertionError) and str(error) else f"{type(error).__name__}: "
        raise DataError(
            f"data.name={own.name}: {place}{kind}{error}",
            hint="correct the files, data.root, or `load` in the plug-in",
        ) from error


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # inputs (n, L, d), labels, lengths (n,)


def _check(own: PluginDataset, split: str, examples: Any) -> Arrays:
    """Return padded inputs, labels and lengths, after checking every example."""
    at = f"data.name={own.name}" + (f", {split}" if split else "")
    if not isinstance(examples, Examples):
        raise DataError(
            f"{at}: `load` returned {type(examples).__name__} in place of Examples",
            hint="return Examples(inputs=…, labels=…), from s5.plugins",
        )
    n = len(examples.inputs)
    if n == 0:
        raise DataError(f"{at}: no sequences", hint="check data.root and the `load` of the plug-in")
    if len(examples.labels) != n:
        raise DataError(f"{at}: {n} sequences, but {len(examples.labels)} labels", hint="return a label per sequence")
    where = _places(at, examples.names, n)
    inputs = np.zeros((n, own.length, own.d_input), np.float32)
    lengths = np.zeros(n, np.int32)
    low, high = np.full(own.d_input, np.inf), np.full(own.d_input, -np.inf)
    for i, example in enumerate(examples.inputs):
        values = _sequence(own, where(i), example)
        inputs[i, : len(values)], lengths[i] = values, len(values)
        low, high = np.minimum(low, values.min(0)), np.maximum(high, values.max(0))
    _check_precision(at, low, high)
    if own.head is Head.classification:
        return inputs, _classes(own, where, examples), lengths
    return inputs, _targets(own, where, examples, lengths), lengths


Places = Callable[[int], str]  # the place of an example by its number, for messages


def _places(at: str, names: Any, n: int) -> Places:
    """Return a function that tells which example a number means, with its name if there is one.

    Args:
        at: The data set and the split.
        names: The `names` of `Examples`.
        n: Number of examples.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(
            f"{at}: names is {names!r}; expected a text or a path for each example", hint="return a list of names"
        )
    known = list(names)
    if known and len(known) != n:
        raise DataError(f"{at}: {n} sequences, but {len(known)} names", hint="return a name per sequence, or none")
    for i, name in enumerate(known):
        if not isinstance(name, str | PathLike):
            raise DataError(f"{at}: names[{i}] is {name!r}; expected a text or a path", hint="convert it by str(…)")
    return lambda i: f"{at}, example {i}" + (f" ({fspath(known[i])})" if known else "")


def _sequence(own: PluginDataset, at: str, example: Any) -> Float64[np.ndarray, "L d_input"]:
    """Return the values of an example, after checking them."""
    values = _numbers(at, example)
    if values.ndim != 2 or values.shape[1] != own.d_input:
        raise DataError(
            f"{at}: its shape is {values.shape}; expected (L, {own.d_input})",
            hint=f"correct the file, or change d_input (now {own.d_input}) in plugin.py",
        )
    if not 1 <= len(values) <= own.length:
        raise DataError(
            f"{at}: {len(values)} steps; 1 to {own.length} are allowed",
            hint=f"cut the sequence, or raise length (now {own.length}) in plugin.py",
        )
    _check_finite(at, values)
    return values


def _check_finite(at: str, values: Float64[np.ndarray, "L d"]) -> None:
    """Raise if a value is not finite, or is too large for float32, in which examples are stored."""
    storable = np.abs(values) < np.finfo(np.float32).max  # False for nan
    if storable.all():
        return
    step, feature = np.argwhere(~storable)[0]
    value = values[step, feature]
    if np.isfinite(value):
        raise DataError(
            f"{at}: step {step}, feature {feature} is {value:.4g}, which float32 cannot store",
            hint="scale the feature in `load`",
        )
    raise DataError(f"{at}: step {step}, feature {feature} is {value}", hint="replace missing values before training")


def _numbers(at: str, example: Any) -> np.ndarray:
    """Return an example or its targets in float64."""
    try:
        return np.asarray(example, np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{at}: not an array of numbers: {error}", hint="convert its values in `load`") from error


def _check_precision(at: str, low: Float64[np.ndarray, " d"], high: Float64[np.ndarray, " d"]) -> None:
    """Raise if float32, in which examples are stored, cannot tell the values of a feature apart.

    Args:
        at: The place for the message.
        low: The least value of each feature.
        high: The largest value of each feature.
    """
    largest = np.maximum(np.abs(low), np.abs(high))
    for feature, spacing in enumerate(np.spacing(largest.astype(np.float32))):
        if 0 < high[feature] - low[feature] < _DISTINCT_VALUES * spacing:
            raise DataError(
                f"{at}: feature {feature} is {low[feature]:.10g} to {high[feature]:.10g}, where float32 has one value "
                f"in {spacing:g}",
                hint="subtract an offset in `load`, such as the first time of each sequence from its times",
            )


def _check_classes(own: PluginDataset, labels: Sequence[np.ndarray]) -> None:
    """Raise if a class has no example in any split: a name that is misspelt may have lost them."""
    found = set(np.concatenate(labels).tolist()) if own.head is Head.classification else set(range(own.n_classes))
    missing = [number for number in range(own.n_classes) if number not in found]
    if missing:
        names = ", ".join(str(own.class_names[number] if own.class_names else number) for number in missing[:5])
        raise DataError(
            f"data.name={own.name}: no example has the class {names}" + (" …" if len(missing) > 5 else ""),
            hint="correct the `load` of the plug-in, or leave the class out of class_names and n_classes",
        )


def _classes(own: PluginDataset, where: Places, examples: Examples) -> Int[np.ndarray, " n"]:
    numbers = {name: number for number, name in enumerate(own.class_names)}
    classes = np.zeros(len(examples.labels), np.int32)
    for i, given in enumerate(examples.labels):
        label = str(given) if isinstance(given, str) else np.asarray(given).tolist()
        label = numbers.get(label, label) if isinstance(label, str) else label
        if isinstance(label, str) and numbers:
            raise DataError(
                f"{where(i)}: the label {label!r} is not one of the class_names "
                f"{shortened(own.class_names, label)}{did_you_mean(label, own.class_names)}",
                hint="correct the label, or class_names in plugin.py",
            )
        if not isinstance(label, int) or not 0 <= label < own.n_classes:
            raise DataError(
                f"{where(i)}: the label {label!r} is not a whole number from 0 to {own.n_classes - 1}",
                hint=f"correct the label; for more classes raise n_classes (now {own.n_classes}) in plugin.py",
            )
        classes[i] = label
    return classes


def _targets(
    own: PluginDataset, where: Places, examples: Examples, lengths: Int[np.ndarray, " n"]
) -> Float32[np.ndarray, "n L d_output"]:
    targets = np.zeros((len(lengths), own.length, own.n_classes), np.float32)
    for i, example in enumerate(examples.labels):
        values = _numbers(f"{where(i)}, its targets", example)
        if values.shape != (lengths[i], own.n_classes):
            raise DataError(
                f"{where(i)}: targets of shape {values.shape}; expected ({lengths[i]}, {own.n_classes})",
                hint=f"return a target per step; n_classes in plugin.py (now {own.n_classes}) is their features",
            )
        _check_finite(f"{where(i)}, its targets", values)
        targets[i, : lengths[i]] = values
    return targets


def _split(own: PluginDataset, arrays: Arrays, seed: int) -> dict[str, Arrays]:
    """Divide examples at random into `train`, `val` and `test`; with equal proportions of classes, if there are any."""
    n = len(arrays[2])
    held = max(1, round(_HELD_OUT * n))
    sizes = {"train": n - 2 * held, "val": held, "test": held}
    if sizes["train"] < 1:
        raise DataError(f"data.name={own.name}: {n} examples are too few to be divided into three splits")
    if own.head is Head.classification:
        parts = stratified_split(arrays[1], sizes, seed)
    else:
        parts = random_splits(n, {"val": held, "test": held}, seed)
    inputs, labels, lengths = arrays
    return {name: (inputs[part], labels[part], lengths[part]) for name, part in parts.items()}


def _moments(inputs: np.ndarray, lengths: np.ndarray) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, " d"]]:
    """Return the mean and the standard deviation of each feature over valid steps; 1 in place of a deviation of 0."""
    valid = inputs[np.arange(inputs.shape[1]) < lengths[:, None]].astype(np.float64)
    std = valid.std(axis=0)
    return valid.mean(axis=0).astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32)
