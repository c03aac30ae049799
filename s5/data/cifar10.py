"""`cifar10`, `cifar10_grey`: CIFAR-10 from its binary or its pickled files. Source: Krizhevsky 2009.

A binary file is a sequence of records: the class, then 1,024 values of red, of green and of blue, row by row. The grey
values, and the scales of colour and grey, are those of the S5 repository.
"""

import io
import pickle
from typing import Any

import numpy as np
from jaxtyping import UInt8

from s5 import catalog
from s5.catalog import DataError, DatasetInfo
from s5.config.data import DataConfig
from s5.data.cache import Arrays, load_or_convert
from s5.data.dataset import Dataset
from s5.data.pixels import Images, Scale, pixel_dataset
from s5.data.raw import read_files
from s5.data.split import random_split

_N_PIXELS, _N_COLOURS, _N_CLASSES = 1024, 3, 10
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)  # of red, green and blue
_GREY_MEAN, _GREY_STD = 122.6, 61.0
_BATCHES = {"train": tuple(f"data_batch_{k}" for k in range(1, 6)), "test": ("test_batch",)}


def load(config: DataConfig) -> Dataset:
    """Load CIFAR-10 in colour: 45,000 train and 5,000 val images by `split_seed`, and 10,000 official test images."""
    offset, full_scale = (np.array(values, np.float32) * np.float32(255) for values in (_MEAN, _STD))
    info = catalog.dataset_info("cifar10")
    arrays = load_or_convert(info, config.cache, lambda: _convert(info, config.root))
    return _dataset(info, config, arrays, full_scale=full_scale, offset=offset)


def load_grey(config: DataConfig) -> Dataset:
    """Load CIFAR-10 in grey, with the same splits as in colour."""
    info = catalog.dataset_info("cifar10_grey")
    arrays = load_or_convert(info, config.cache, lambda: _convert(info, config.root))
    grey = {name: to_grey(array) if name.endswith("images") else array for name, array in arrays.items()}
    return _dataset(info, config, grey, full_scale=_GREY_STD, offset=_GREY_MEAN)


def to_grey(pixels: UInt8[np.ndarray, "n L 3"]) -> UInt8[np.ndarray, "n L"]:
    """Return the luma of each pixel as Pillow rounds it (ITU-R 601-2)."""
    out = np.empty(pixels.shape[:2], np.uint8)
    weights = np.array([19595, 38470, 7471], np.uint32)
    for first in range(0, len(pixels), 1000):  # 32 bits for every value at once would need much memory
        out[first : first + 1000] = (pixels[first : first + 1000] @ weights + 32768) >> 16
    return out


def _dataset(info: DatasetInfo, config: DataConfig, arrays: Arrays, full_scale: Scale, offset: Scale) -> Dataset:
    images = Images(arrays["train_images"], arrays["train_labels"])
    train, val = random_split(len(images.labels), info.sizes["val"], config.split_seed)
    test = Images(arrays["test_images"], arrays["test_labels"])
    parts = {"train": images.take(train), "val": images.take(val), "test": test}
    return pixel_dataset(info, config, parts, full_scale=full_scale, offset=offset)


def _convert(info: DatasetInfo, root: str | None) -> Arrays:
    contents = read_files(info, root)
    arrays: Arrays = {}
    counts = {"train": info.sizes["train"] + info.sizes["val"], "test": info.sizes["test"]}
    for split, names in _BATCHES.items():
        n = counts[split] // len(names)
        batches = []
        for name in names:
            binary = f"{name}.bin"
            where = binary if binary in contents else name
            decode = decode_records if binary in contents else decode_pickle
            batches.append(decode(contents[where], n, where))
        arrays[f"{split}_images"] = np.concatenate([pixels for pixels, _ in batches])
        arrays[f"{split}_labels"] = np.concatenate([labels for _, labels in batches])
    return arrays


def decode_records(content: bytes, n: int, where: str) -> tuple[UInt8[np.ndarray, "n L 3"], UInt8[np.ndarray, " n"]]:
    """Decode a binary file.

    Args:
        content: The bytes.
        n: The expected number of records.
        where: The file, for the message.

    Returns:
        The pixels and the class of each image.

    Raises:
        DataError: If the file has another size, or a class is out of range.
    """
    record = 1 + _N_COLOURS * _N_PIXELS
    if len(content) != n * record:
        raise DataError(f"{where}: {len(content):,} bytes; expected {n * record:,}: {n:,} records of {record:,}")
    records = np.frombuffer(content, np.uint8).reshape(n, record)
    return _in_raster_order(records[:, 1:]), _checked(records[:, 0], where)


def decode_pickle(content: bytes, n: int, where: str) -> tuple[UInt8[np.ndarray, "n L 3"], UInt8[np.ndarray, " n"]]:
    """Decode a pickled file; only arrays and plain values are unpickled.

    Args:
        content: The bytes.
        n: The expected number of images.
        where: The file, for the message.

    Returns:
        The pixels and the class of each image.

    Raises:
        DataError: If the file is damaged or has other content.
    """
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        data, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle raises many types
        raise DataError(f"{where}: not a batch of CIFAR-10: {type(error).__name__}: {error}") from error
    if data.dtype != np.uint8 or data.shape != (n, _N_COLOURS * _N_PIXELS) or labels.shape != (n,):
        raise DataError(
            f"{where}: {data.dtype} pixels of shape {data.shape} and {labels.size:,} labels; "
            f"expected uint8 of shape {(n, _N_COLOURS * _N_PIXELS)}"
        )
    return _in_raster_order(data), _checked(labels, where)


class _Unpickler(pickle.Unpickler):
    """An unpickler that raises for every class and function except those of NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        key = (module.rpartition(".")[2], name)
        if not module.startswith("numpy") or key not in allowed:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return allowed[key]


def _in_raster_order(planes: UInt8[np.ndarray, "n values"]) -> UInt8[np.ndarray, "n L 3"]:
    return np.ascontiguousarray(planes.reshape(len(planes), _N_COLOURS, _N_PIXELS).transpose(0, 2, 1))


def _checked(labels: np.ndarray, where: str) -> UInt8[np.ndarray, " n"]:
    if labels.size and not 0 <= labels.min() <= labels.max() < _N_CLASSES:
        raise DataError(f"{where}: classes from {labels.min()} to {labels.max()}; expected 0 to {_N_CLASSES - 1}")
    return labels.astype(np.uint8)
