"""What the layouts have in common: a table from the names in a file to the parameters of our models."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s5.config.choices import Head
from s5.config.model import ModelConfig
from s5.errors import UserError
from s5.originals.weight_file import Arrays

_LISTED = 12  # the most names that an error lists


@dataclass(frozen=True)
class Context:
    """What a conversion may need besides arrays of the file.

    Attributes:
        config: The model's configuration.
        length: Steps of the training data; None if the user did not say.
        switches: The values of the layout's switches.
    """

    config: ModelConfig
    length: int | None
    switches: Mapping[str, str]

    def need_length(self) -> int:
        """Return the length; raise UserError if the user did not say it."""
        if self.length is None:
            raise UserError(
                "this layout needs length: its kernels belong to the number of steps of the training data",
                hint="give length=784, for example",
            )
        return self.length


Convert = Callable[[Context, list[np.ndarray]], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Row:
    """A row of a layout's table.

    Attributes:
        theirs: Names in the file. A `*` is the number of a layer; our array then has one entry for each layer.
        ours: Names of our parameters.
        convert: Returns our arrays from theirs, which are float64 or complex128.
        does: The conversion in words, for the documentation.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    convert: Convert
    does: str


@dataclass(frozen=True)
class Facts:
    """What the arrays of a file say about the model.

    Attributes:
        allowed: The values of keys of the configuration that fit the arrays, the most usual one first.
        usual: Values of keys that the arrays do not decide: the original's defaults.
        d_input: Features of an input step, or number of tokens.
        d_output: Classes, or features of an output step.
        heads: The heads that fit the arrays, the most usual one first.
    """

    allowed: Mapping[str, tuple[Any, ...]]
    usual: Mapping[str, Any]
    d_input: int
    d_output: int
    heads: tuple[Head, ...] = (Head.classification, Head.regression)


@dataclass(frozen=True)
class Layout:
    """The names and forms in which a repository stores a model.

    Attributes:
        family: The kind of our model.
        table: The rows. Of rows for the same parameter, the last is used whose names are in the file.
        read: Returns what the arrays say about the model; the other argument is what the user said.
        root: The first part of all names; files without it are accepted too.
        renames: Regular expressions of names, and what replaces them, before the table is applied.
        switches: Options of the original that our configuration does not have, and their values. The first is usual.
        unused: Patterns of names that a model does not need, such as the state of an optimizer.
    """

    family: str
    table: tuple[Row, ...]
    read: Callable[["Source", Mapping[str, Any]], Facts]
    root: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    switches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unused: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Source:
    """The arrays of a file, for reading sizes.

    Attributes:
        file: Its name, for errors.
        arrays: The arrays by name.
    """

    file: str
    arrays: Arrays

    def has(self, pattern: str) -> bool:
        """Return whether some name matches the pattern."""
        return any(match_name(pattern, name) for name in self.arrays)

    def shape(self, pattern: str) -> tuple[int, ...]:
        """Return the shape of the first array whose name matches; raise UserError if it matches no name."""
        for name, array in self.arrays.items():
            if match_name(pattern, name):
                return array.shape
        raise UserError(
            f"{self.file}: has no array {pattern}, so it is not of this layout; it has {_some(self.arrays)}"
        )

    def n_layers(self, pattern: str) -> int:
        """Return the number of layers: one more than the largest number in place of the `*`."""
        found = [match[1] for name in self.arrays if (match := match_name(pattern, name))]
        self.shape(pattern)
        return 1 + max(map(int, found))


def match_name(pattern: str, name: str) -> re.Match[str] | None:
    """Match a name with a pattern: `*` is a number, `**` anything."""
    expression = re.escape(pattern).replace(r"\*\*", "(?:.*)").replace(r"\*", r"(\d+)")
    return re.fullmatch(expression, name)


def convert_arrays(layout: Layout, source: Source, context: Context, own: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return the arrays of our parameters.

    Args:
        layout: The layout.
        source: The file's arrays.
        context: What conversions need.
        own: The shapes of our parameters.

    Raises:
        UserError: If an array of the file is not used, or one of our parameters has no source or another shape. The
            message lists all of them.
    """
    done: Arrays = {}
    used: set[str] = set()
    for row in layout.table:
        parts = _sources(row, source, context.config.n_layers)
        if parts is None or row.ours[0] not in own:
            continue
        names, stacked = parts
        used.update(name for layer in names for name in layer)
        each = [_converted(row, source, context, layer) for layer in names]
        for index, ours in enumerate(row.ours):
            done[ours] = _joined([arrays[index] for arrays in each], source, names) if stacked else each[0][index]
    _check_complete(layout, source, used, done, own)
    return done


def _sources(row: Row, source: Source, n_layers: int) -> tuple[list[tuple[str, ...]], bool] | None:
    """Return the names of a row's arrays for each layer, and whether there are layers; None if an array is missing."""
    stacked = any("*" in name for name in row.theirs)
    names = [tuple(name.replace("*", str(layer)) for name in row.theirs) for layer in range(n_layers if stacked else 1)]
    complete = all(name in source.arrays for layer in names for name in layer)
    return (names, stacked) if complete else None


def _converted(row: Row, source: Source, context: Context, names: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """Return our arrays of one row and layer; raise UserError if the arrays have other axes, or give no numbers."""
    try:
        with np.errstate(all="ignore"):
            found = row.convert(context, [_wide(source.arrays[name]) for name in names])
    except (ValueError, IndexError, TypeError, np.linalg.LinAlgError) as error:
        raise UserError(f"{source.file}: {_shapes(source, names)}: cannot be converted ({error})") from error
    if not all(np.isfinite(array).all() for array in found):
        raise UserError(f"{source.file}: {_shapes(source, names)}: give infinite numbers or none ({row.does})")
    return found


def _joined(each: list[np.ndarray], source: Source, names: list[tuple[str, ...]]) -> np.ndarray:
    """Return the arrays of all layers as one."""
    if len({array.shape for array in each}) > 1:
        raise UserError(
            f"{source.file}: the layers differ in shape, and ours do not: "
            + "; ".join(_shapes(source, layer) for layer in names)
        )
    return np.stack(each)


def _shapes(source: Source, names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {list(source.arrays[name].shape)}" for name in names)


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _check_complete(
    layout: Layout, source: Source, used: set[str], done: Arrays, own: Mapping[str, tuple[int, ...]]
) -> None:
    unexpected = [
        f"{name} {list(array.shape)} of the file: this model has no place for it"
        for name, array in source.arrays.items()
        if name not in used and not any(match_name(pattern, name) for pattern in layout.unused)
    ]
    missing = [
        f"{name} {list(shape)} of the model: the file has no {_wanted(layout, name)}"
        for name, shape in own.items()
        if name not in done
    ]
    misfits = [
        f"{name}: the file has {list(array.shape)}, the model {list(own[name])}"
        for name, array in done.items()
        if name in own and array.shape != own[name]
    ]
    wrong = [*misfits, *missing, *unexpected]
    if wrong:
        shown = [*wrong[:_LISTED], *([f"and {len(wrong) - _LISTED} more"] if len(wrong) > _LISTED else [])]
        raise UserError(
            f"{source.file}: the arrays do not fit the model:\n" + "\n".join(f"  {line}" for line in shown),
            hint="give the options of the training, such as activation='full_glu'; docs/import.md lists the names",
        )


def _wanted(layout: Layout, ours: str) -> str:
    rows = [" and ".join(row.theirs) for row in layout.table if ours in row.ours]
    return " or ".join(rows) or "array for it"


def _some(names: Mapping[str, Any]) -> str:
    listed = list(names)[:3]
    return ", ".join(listed) + (", …" if len(names) > len(listed) else "") if listed else "no arrays"
