"""Rows of tables that several layouts have: arrays as they are, complex numbers in parts, dense layers, norms."""

from collections.abc import Callable

import numpy as np

from s5.originals.layout import Context, Row


def same(theirs: str, ours: str) -> Row:
    """Return a row for an array that both store alike."""
    return Row((theirs,), (ours,), lambda _, arrays: (arrays[0],), "as it is")


def mapped(theirs: str, ours: str, function: Callable[[np.ndarray], np.ndarray], does: str) -> Row:
    """Return a row for an array that a function converts.

    Args:
        theirs: The name in the file.
        ours: The name of our parameter.
        function: The conversion.
        does: The conversion in words.
    """
    return Row((theirs,), (ours,), lambda _, arrays: (function(arrays[0]),), does)


def parts(
    theirs: tuple[str, ...], ours: str, function: Callable[[Context, list[np.ndarray]], np.ndarray], does: str
) -> Row:
    """Return a row for a complex array, which we store as `ours_re` and `ours_im`.

    Args:
        theirs: The names in the file.
        ours: The name of our parameters, without `_re` and `_im`.
        function: Returns the complex array.
        does: The conversion in words.
    """

    def convert(context: Context, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        values = function(context, arrays)
        return np.real(values), np.imag(values)

    return Row(theirs, (f"{ours}_re", f"{ours}_im"), convert, does)


def as_complex(array: np.ndarray) -> np.ndarray:
    """Return the complex numbers of an array whose last axis has the real and the imaginary part."""
    return array[..., 0] + 1j * array[..., 1]


def flax_dense(theirs: str, ours: str) -> tuple[Row, ...]:
    """Return the rows of a dense layer of Flax."""
    return same(f"{theirs}.kernel", f"{ours}.weight"), same(f"{theirs}.bias", f"{ours}.bias")


def flax_layer_norm(theirs: str, ours: str) -> tuple[Row, ...]:
    """Return the rows of a layer normalisation of Flax."""
    return same(f"{theirs}.scale", f"{ours}.scale"), same(f"{theirs}.bias", f"{ours}.bias")


def flax_norm(theirs: str, ours: str) -> tuple[Row, ...]:
    """Return the rows of a batch or layer normalisation of Flax; `theirs` is without the name of the collection."""
    running = (same(f"batch_stats.{theirs}.{part}", f"{ours}.{part}") for part in ("mean", "var"))
    return *flax_layer_norm(f"params.{theirs}", ours), *running


def torch_dense(theirs: str, ours: str) -> tuple[Row, ...]:
    """Return the rows of a dense layer of PyTorch."""
    weight = mapped(f"{theirs}.weight", f"{ours}.weight", np.transpose, "transposed")
    return weight, same(f"{theirs}.bias", f"{ours}.bias")


def torch_glu(theirs: str, ours: str) -> tuple[Row, ...]:
    """Return the rows of a dense layer of PyTorch, before a gated linear unit or not, as gate and value of ours.

    It may be a convolution over one step, whose weight has one more axis, and its bias may be a column.

    Args:
        theirs: The name in the file.
        ours: The name of our gate.
    """

    def half(number: int) -> Callable[[Context, list[np.ndarray]], tuple[np.ndarray, ...]]:
        def convert(context: Context, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
            H = context.config.d_model
            weight, bias = arrays[0].reshape(arrays[0].shape[:2]), arrays[1].reshape(-1)
            if len(bias) == H:
                return weight.T, bias
            return weight[number * H : (number + 1) * H].T, bias[number * H : (number + 1) * H]

        return convert

    names = (f"{theirs}.weight", f"{theirs}.bias")
    return (
        Row(names, (f"{ours}.value.weight", f"{ours}.value.bias"), half(0), "the first H rows, transposed"),
        Row(names, (f"{ours}.gate.weight", f"{ours}.gate.bias"), half(1), "the last H rows, transposed"),
    )


def torch_norm(theirs: str, ours: str) -> tuple[Row, ...]:
    """Return the rows of a batch or layer normalisation of PyTorch."""
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    return tuple(same(f"{theirs}.{one}", f"{ours}.{other}") for one, other in names.items())
