import dataclasses
import hashlib
import importlib.util
import io
import re
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5.catalog import CATALOG, DataError, Form
from s5.config.data import DataConfig
from s5.data import load
from s5.data.archive import unpack
from s5.data.batch import gather
from s5.data.cifar10 import to_grey

NAMES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
SIZES = {"train": 25, "val": 5, "test": 6}
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 6, 3, 32, 32), np.uint8)  # file, image, colour, row, column
LABELS = np.arange(36, dtype=np.uint8).reshape(6, 6) % 10


def as_records(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], pixels.reshape(len(labels), -1)], 1).tobytes()


def as_pickle(pixels: np.ndarray, labels: np.ndarray) -> Any:
    """Write what Python 2's pickle and NumPy 1 write, opcode by opcode, as in the published files."""

    def text(value) -> Any:
        return b"U" + bytes([len(value)]) + value

    n, data = len(labels), pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\nt" + text(b"b") + b"tR"
        b"(I1\n(I%d\nI3072\nt" % n + b"cnumpy\ndtype\n(" + text(b"u1") + b"I0\nI1\ntR"
        b"(I3\n" + text(b"|") + b"NNNI-1\nI-1\nI0\ntbI00\n" + b"T" + struct.pack("<i", len(data)) + data + b"tb"
    )
    numbers = b"(" + b"".join(b"I%d\n" % label for label in labels) + b"l"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + text(b"batch_label") + text(b"x") + b"u."


@pytest.fixture(params=["binary", "python"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataConfig:
    """Make the catalog's CIFAR-10 one of 36 pictures, whose files lie in the data folder."""
    return make_small(request.param, monkeypatch, tmp_path, PIXELS, LABELS, SIZES)


def make_small(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pixels: np.ndarray, labels: np.ndarray, sizes
) -> DataConfig:
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    encode, folder, end = (
        (as_records, "cifar-10-batches-bin", ".bin") if kind == "binary" else (as_pickle, "cifar-10-batches-py", "")
    )
    contents = {f"{name}{end}": encode(p, n) for name, p, n in zip(NAMES, pixels, labels, strict=True)}
    (tmp_path / "raw" / folder).mkdir(parents=True)
    for name, content in contents.items():
        (tmp_path / "raw" / folder / name).write_bytes(content)

    def form(old) -> Form:
        files = [
            dataclasses.replace(f, bytes=None, md5=f.md5 and hashlib.md5(contents.get(f.name, b"")).hexdigest())
            for f in old.files
        ]
        return Form(files=tuple(files), folders=old.folders)

    for name in ("cifar10", "cifar10_grey"):
        info = CATALOG[name]
        small = dataclasses.replace(info, sizes=sizes, forms=tuple(form(old) for old in info.forms))
        monkeypatch.setitem(CATALOG, name, small)
    return DataConfig(name="cifar10", root=str(tmp_path / "raw"))


def test_colours_follow_each_other_within_a_pixel(small: DataConfig) -> None:
    dataset = load(small)
    assert (dataset.n_classes, dataset.length, dataset.d_input) == (10, 1024, 3)
    assert {name: len(split) for name, split in dataset.splits.items()} == SIZES
    expected = PIXELS[5].transpose(0, 2, 3, 1)  # image, row, column, colour
    np.testing.assert_array_equal(dataset.splits["test"].inputs.reshape(6, 32, 32, 3), expected)
    np.testing.assert_array_equal(dataset.splits["test"].labels, LABELS[5])
    seen = np.concatenate([dataset.splits[name].inputs for name in ("train", "val")])
    every = PIXELS[:5].reshape(30, 3, 1024).transpose(0, 2, 1)
    assert {row.tobytes() for row in seen} == {row.tobytes() for row in every}


def test_scales_are_those_of_the_S5_repository(small: DataConfig) -> None:
    examples = np.arange(6)
    colour = gather(load(small).splits["test"], examples).inputs
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.247, 0.243, 0.261])
    expected = (PIXELS[5].reshape(6, 3, 1024).transpose(0, 2, 1) / 255 - mean) / std
    np.testing.assert_allclose(colour, expected, atol=2e-6)
    grey_config = dataclasses.replace(small, name="cifar10_grey")
    grey = gather(load(grey_config).splits["test"], examples).inputs
    luma = to_grey(PIXELS[5].reshape(6, 3, 1024).transpose(0, 2, 1))
    np.testing.assert_allclose(grey[:, :, 0], (luma / 255 - 122.6 / 255) / (61 / 255), atol=2e-6)


def test_both_data_sets_share_splits_and_one_cache(small: DataConfig, tmp_path: Path) -> None:
    colour = load(small)
    for path in (tmp_path / "raw").rglob("*batch*"):
        path.unlink() if path.is_file() else None
    grey = load(dataclasses.replace(small, name="cifar10_grey"))
    assert (grey.length, grey.d_input) == (1024, 1)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["cifar10-v1.npz"]
    for name in SIZES:
        np.testing.assert_array_equal(grey.splits[name].inputs[:, :, 0], to_grey(colour.splits[name].inputs))
        np.testing.assert_array_equal(grey.splits[name].labels, colour.splits[name].labels)


def test_luma_is_pillow_s() -> None:
    image = pytest.importorskip("PIL.Image")
    colours = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(to_grey(colours), np.asarray(image.fromarray(colours).convert("L")))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda content: content[:-1], "data_batch_3.bin: 18,437 bytes; expected 18,438: 6 records of 3,073"),
        (lambda content: b"\x0a" + content[1:], "data_batch_3.bin: classes from 3 to 10; expected 0 to 9"),
    ],
    ids=["cut", "class"],
)
def test_a_damaged_binary_file_is_named_and_leaves_no_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harm: Callable[..., Any], message: str
) -> None:
    config = make_small("binary", monkeypatch, tmp_path, PIXELS, LABELS, SIZES)
    path = tmp_path / "raw/cifar-10-batches-bin/data_batch_3.bin"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        load(config)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02cos\nsystem\n(U\x04truetR.", r"UnpicklingError: it refers to os.system"),
        (as_pickle(PIXELS[0], LABELS[0])[:-100], r"test_batch: not a batch of CIFAR-10"),
        (as_pickle(PIXELS[0][:4], LABELS[0][:4]), r"uint8 pixels of shape \(4, 3072\) and 4 labels; .*\(6, 3072\)"),
        (b"\x80\x02}.", r"KeyError: 'data'"),
    ],
    ids=["callable", "cut", "count", "other"],
)
def test_a_pickle_that_is_no_batch_is_named_and_calls_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content, message: str
) -> None:
    config = make_small("python", monkeypatch, tmp_path, PIXELS, LABELS, SIZES)
    (tmp_path / "raw/cifar-10-batches-py/test_batch").write_bytes(content)
    with pytest.raises(DataError, match="not the test_batch of cifar10: its content has md5"):
        load(config)
    form = CATALOG["cifar10"].forms[1]
    unchecked = Form(files=tuple(dataclasses.replace(f, md5=None) for f in form.files), folders=form.folders)
    monkeypatch.setitem(CATALOG, "cifar10", dataclasses.replace(CATALOG["cifar10"], forms=(unchecked,)))
    with pytest.raises(DataError, match=message):
        load(config)
    assert not (tmp_path / "cache").exists()


def test_the_archive_is_unpacked_to_where_it_is_found(
    small: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (folder,) = (tmp_path / "raw").iterdir()
    archives = tuple(dataclasses.replace(a, sha256=None) for a in CATALOG["cifar10"].archives)
    info = dataclasses.replace(CATALOG["cifar10"], archives=archives)
    (name,) = [archive.name for archive in archives if archive.folder == folder.name]
    with tarfile.open(tmp_path / name, "w:gz") as tar:
        for path in folder.iterdir():
            member = tarfile.TarInfo(f"{folder.name}/{path.name}")
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    unpack(info, tmp_path / name, str(tmp_path / "other"))
    found = load(dataclasses.replace(small, root=str(tmp_path / "other")))
    np.testing.assert_array_equal(found.splits["test"].labels, LABELS[5])


@pytest.mark.skipif(not importlib.util.find_spec("foolbox"), reason="foolbox ships the first 20 test images")
@pytest.mark.parametrize("kind", ["binary", "python"])
def test_the_first_real_test_images_have_their_labels_and_colours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    image = pytest.importorskip("PIL.Image")
    spec = importlib.util.find_spec("foolbox")
    assert spec and spec.submodule_search_locations
    paths = sorted((Path(spec.submodule_search_locations[0]) / "data").glob("cifar10_??_?.png"))
    pictures = np.stack([np.asarray(image.open(path)) for path in paths])
    labels = np.array([int(re.findall(r"_(\d)\.png", path.name)[0]) for path in paths], np.uint8)
    planes = np.broadcast_to(pictures.transpose(0, 3, 1, 2), (6, 20, 3, 32, 32))
    sizes = {"train": 80, "val": 20, "test": 20}
    config = make_small(kind, monkeypatch, tmp_path, planes, np.broadcast_to(labels, (6, 20)), sizes)
    test = load(config).splits["test"]
    assert test.labels.tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8, 5, 7, 8, 6]
    np.testing.assert_array_equal(test.inputs.reshape(20, 32, 32, 3), pictures)
    grey = load(dataclasses.replace(config, name="cifar10_grey")).splits["test"]
    expected = np.stack([np.asarray(image.open(path).convert("L")) for path in paths])
    np.testing.assert_array_equal(grey.inputs.reshape(20, 32, 32), expected)
