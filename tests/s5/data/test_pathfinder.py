import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5.catalog import CATALOG, DataError, MissingData
from s5.config.data import DataConfig
from s5.data import load
from s5.data.batch import gather

image = pytest.importorskip("PIL.Image")

SIZES = {"train": 19, "val": 3, "test": 2}
PICTURES = np.random.default_rng(0).integers(0, 256, (24, 32, 32), np.uint8)
BATCHES = {"0": range(0, 9), "2": range(9, 15), "10": range(15, 24)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataConfig:
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(CATALOG, "pathfinder32", dataclasses.replace(CATALOG["pathfinder32"], sizes=SIZES))
    return DataConfig(name="pathfinder32", root=str(tmp_path / "raw"))


def words(batch, number: int, label) -> list[str]:
    return [f"imgs/{batch}", f"sample_{number}.png", str(number), str(label), "1.0", "14", "4", "2", "0.5", "1", "1"]


def write(config, folder: str = "pathfinder32", numpy_file: bool = False) -> Path:
    level = Path(config.root) / folder / "curv_contour_length_14"
    (level / "metadata").mkdir(parents=True)
    for batch, indices in BATCHES.items():
        (level / "imgs" / batch).mkdir(parents=True)
        rows = []
        for number, index in enumerate(indices):
            image.fromarray(PICTURES[index]).save(level / "imgs" / batch / f"sample_{number}.png")
            rows.append(words(batch, number, index % 2))
        if numpy_file:
            np.save(level / "metadata" / f"{batch}.npy", np.array(rows, "S" if batch == "0" else "U"))
        else:
            (level / "metadata" / f"{batch}.npy").write_text("".join(" ".join(row) + "\n" for row in rows))
    return level


@pytest.mark.parametrize("folder", ["pathfinder32", "pathfinder/pathfinder32", "lra_release/lra_release/pathfinder32"])
@pytest.mark.parametrize("numpy_file", [False, True], ids=["text", "npy"])
def test_pictures_become_pixels_from_minus_one_to_one(small: DataConfig, folder: str, numpy_file: bool) -> None:
    write(small, folder, numpy_file)
    dataset = load(small)
    assert (dataset.n_classes, dataset.length, dataset.d_input) == (2, 1024, 1)
    assert {name: len(split) for name, split in dataset.splits.items()} == SIZES
    rows = np.concatenate([split.rows for split in dataset.splits.values() if split.rows is not None])
    assert sorted(rows) == list(range(24))
    for split in dataset.splits.values():
        assert isinstance(split.inputs, np.memmap) and split.inputs.dtype == np.uint8
        batch = gather(split, np.arange(len(split)))
        # Batches are in the order of their numbers: 10 comes after 2.
        np.testing.assert_array_equal(split.labels, split.rows % 2)
        expected = (PICTURES[split.rows].reshape(-1, 1024, 1) / 255 - 0.5) / 0.5
        np.testing.assert_allclose(batch.inputs, expected, atol=1e-6)
        assert (batch.lengths == 1024).all()


def test_the_split_follows_its_seed(small: DataConfig) -> None:
    write(small)
    one, other = load(small), load(dataclasses.replace(small, split_seed=1))
    assert not np.array_equal(one.splits["test"].rows, other.splits["test"].rows)


def test_an_empty_file_is_left_out_and_told_of(small: DataConfig) -> None:
    level = write(small)
    (level / "imgs/2/sample_3.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="pathfinder32: 1 pictures are empty files"):
        dataset = load(small)
    assert {name: len(split) for name, split in dataset.splits.items()} == SIZES | {"train": 18}
    stored = dataset.splits["train"].inputs.reshape(23, 32, 32)
    np.testing.assert_array_equal(stored, np.delete(PICTURES, 12, axis=0))


def cut(level: Path) -> None:
    path = level / "imgs/10/sample_4.png"
    path.write_bytes(path.read_bytes()[:-200])


def enlarge(level: Path) -> None:
    image.fromarray(np.zeros((33, 32), np.uint8)).save(level / "imgs/10/sample_4.png")


def colour(level: Path) -> None:
    image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(level / "imgs/10/sample_4.png")


def remove(level: Path) -> None:
    (level / "imgs/10/sample_4.png").unlink()


def shorten(level: Path) -> None:
    path = level / "metadata/2.npy"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def misspell(level: Path) -> None:
    path = level / "metadata/2.npy"
    path.write_text(path.read_text().replace(" 1 1.0 ", " 7 1.0 ", 1))


def garble(level: Path) -> None:
    (level / "metadata/2.npy").write_bytes("ünder".encode("utf-16"))


def cut_numpy(level: Path) -> None:
    (level / "metadata/2.npy").write_bytes(b"\x93NUMPY\x01\x00")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut, r"imgs/10/sample_4.png: damaged picture"),
        (enlarge, r"sample_4.png: 32x33 in mode L; expected 32x32"),
        (colour, r"sample_4.png: 32x32 in mode RGB; expected"),
        (remove, r"imgs/10/sample_4.png: missing"),
        (shorten, r"metadata: lists 23 pictures; expected 24"),
        (misspell, r"metadata/2.npy, line \d: .*; expected 11 words, the fourth is 0 or 1"),
        (garble, r"metadata/2.npy: neither text nor a NumPy file"),
        (cut_numpy, r"metadata/2.npy: neither text nor a NumPy file"),
    ],
)
def test_damage_is_named_and_leaves_nothing(
    small: DataConfig, tmp_path: Path, harm: Callable[..., Any], message: str
) -> None:
    harm(write(small))
    with pytest.raises(DataError, match=message):
        load(small)
    assert os.listdir(tmp_path / "cache") == [".pathfinder32-v1.lock"]


def test_missing_pictures_name_the_archive(small: DataConfig) -> None:
    with pytest.raises(MissingData, match=r"curv_contour_length_14/imgs/\n(.|\n)*lra_release.gz"):
        load(small)
