import dataclasses
import os
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5.catalog import CATALOG, DataError, MissingData
from s5.catalog.speech import WORDS_10, WORDS_35
from s5.config.compat import UPSTREAM
from s5.config.data import DataConfig
from s5.data import load
from s5.data.batch import gather
from s5.data.speech_commands import read_clip

PER_WORD = 4
SIZES_35 = {"train": 70, "val": 35, "test": 35}
SIZES_10 = {"train": 10, "val": 10, "test": 10}


def samples(word: str, number: int) -> np.ndarray:
    rng = np.random.default_rng([len(word), *word.encode(), number])
    length = 16_000 if number else 9_000  # the first clip of a word is short
    return (3000 * rng.standard_normal(length) + 40).astype(np.int16)


def write_clip(path: Path, values: Any, rate: int = 16_000, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(values.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("raw"))


def write_tree(root: Path) -> Path:
    """Write the official tree with four clips of each word."""
    folder = root / "speech_commands"
    for word in (*WORDS_35, "_background_noise_"):
        (folder / word).mkdir(parents=True)
        for number in range(PER_WORD):
            write_clip(folder / word / f"s{number}_nohash_0.wav", samples(word, number))
    for name, number in (("validation_list.txt", 1), ("testing_list.txt", 3)):
        (folder / name).write_text("".join(f"{word}/s{number}_nohash_0.wav\n" for word in WORDS_35))
    return root


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Path) -> DataConfig:
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    for rate in ("", "_8khz"):
        for n, sizes in ((35, SIZES_35), (10, SIZES_10)):
            name = f"speech_commands{n}{rate}"
            monkeypatch.setitem(CATALOG, name, dataclasses.replace(CATALOG[name], sizes=sizes))
    return DataConfig(name="speech_commands35", root=str(tree))


def test_35_words_are_split_by_the_lists_and_padded(small: DataConfig) -> None:
    dataset = load(small)
    assert (dataset.n_classes, dataset.length, dataset.d_input) == (35, 16_000, 1)
    numbers = {"train": (0, 2), "val": (1,), "test": (3,)}
    every = np.zeros((35, PER_WORD, 16_000))
    for label, word in enumerate(WORDS_35):
        for number in range(PER_WORD):
            every[label, number, : len(samples(word, number))] = samples(word, number)
    train = every[:, [0, 2]] / 2**15
    for name, split in dataset.splits.items():
        assert split.inputs.dtype == np.int16
        assert split.labels.tolist() == [label for label in range(35) for _ in numbers[name]]
        batch = gather(split, np.arange(len(split)))
        expected = every[:, numbers[name]].reshape(-1, 16_000, 1) / 2**15
        np.testing.assert_allclose(batch.inputs, (expected - train.mean()) / (train.std() + 1e-5), atol=1e-4)
        assert (batch.lengths == 16_000).all()


def test_upstream_s_scale_lets_its_constant_outweigh_the_deviation(small: DataConfig) -> None:
    scaled = gather(load(small, UPSTREAM).splits["train"], np.arange(70)).inputs
    raw = np.stack([np.pad(v, (0, 16_000 - len(v))) for w in WORDS_35 for v in (samples(w, 0), samples(w, 2))]) / 2**30
    np.testing.assert_allclose(scaled[:, :, 0], (raw - raw.mean()) / (raw.std() + 1e-5), atol=1e-5)
    assert 0.1 < scaled.std() < 0.3


def test_8_khz_is_every_second_sample_of_the_same(small: DataConfig, tmp_path: Path) -> None:
    whole = gather(load(small).splits["test"], np.arange(35)).inputs
    dataset = load(dataclasses.replace(small, name="speech_commands35_8khz"))
    assert dataset.length == 8_000
    np.testing.assert_array_equal(gather(dataset.splits["test"], np.arange(35)).inputs, whole[:, ::2])
    assert [name for name in os.listdir(tmp_path / "cache") if not name.startswith(".")] == ["speech_commands35-v1"]


def test_10_words_keep_clips_of_a_second_and_split_by_class(small: DataConfig) -> None:
    dataset = load(dataclasses.replace(small, name="speech_commands10"))
    assert dataset.n_classes == 10
    rows = np.concatenate([split.rows for split in dataset.splits.values() if split.rows is not None])
    assert sorted(rows) == list(range(30))
    for split in dataset.splits.values():
        assert np.bincount(split.labels).tolist() == [1] * 10
        for row, label in zip(split.rows, split.labels, strict=True):
            expected = samples(WORDS_10[label], 1 + row % 3)
            np.testing.assert_array_equal(split.inputs[row, :, 0], expected)
    train = gather(dataset.splits["train"], np.arange(10)).inputs
    assert abs(train.mean()) < 1e-3 and train.std() == pytest.approx(1, abs=1e-3)


def copy_tree(tree: Any, target) -> Any:
    import shutil

    shutil.copytree(tree, target)
    return target / "speech_commands"


def cut(folder: Path) -> None:
    path = folder / "bed/s2_nohash_0.wav"
    path.write_bytes(path.read_bytes()[:-50])


def no_wav(folder: Path) -> None:
    (folder / "bed/s2_nohash_0.wav").write_bytes(b"ID3 no wave")


def empty(folder: Path) -> None:
    (folder / "bed/s2_nohash_0.wav").write_bytes(b"")


def slow(folder: Path) -> None:
    write_clip(folder / "bed/s2_nohash_0.wav", np.zeros(8000), rate=8000)


def too_long(folder: Path) -> None:
    write_clip(folder / "bed/s2_nohash_0.wav", np.zeros(16_001))


def gone(folder: Path) -> None:
    (folder / "bed/s2_nohash_0.wav").unlink()


def foreign_list(folder: Path) -> None:
    (folder / "testing_list.txt").write_text("böd/x.wav", encoding="utf-16")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut, r"bed/s2_nohash_0.wav: (cut off: 15,975 samples; expected 16,000, as in its header|damaged)"),
        (no_wav, r"bed/s2_nohash_0.wav: damaged WAV file"),
        (empty, r"bed/s2_nohash_0.wav: damaged WAV file: it ends early"),
        (slow, r"channels: 1, bits: 16, rate: 8000 Hz; expected 1, 16 and 16000 Hz"),
        (too_long, r"bed/s2_nohash_0.wav: 16,001 samples"),
        (gone, r"clips per split \{'train': 69, 'val': 35, 'test': 35\}; expected"),
        (foreign_list, r"testing_list.txt: not a list of files"),
    ],
)
def test_damage_is_named_and_leaves_nothing(
    small: DataConfig, tree: Path, tmp_path: Path, harm: Callable[..., Any], message: str
) -> None:
    harm(copy_tree(tree, tmp_path / "raw"))
    with pytest.raises(DataError, match=message):
        load(dataclasses.replace(small, root=str(tmp_path / "raw")))
    assert os.listdir(tmp_path / "cache") == [".speech_commands35-v1.lock"]


def test_ten_words_of_another_number_are_refused(small: DataConfig, tree: Path, tmp_path: Path) -> None:
    folder = copy_tree(tree, tmp_path / "raw")
    (folder / "yes/s1_nohash_0.wav").unlink()
    with pytest.raises(DataError, match="29 clips of a second; expected 30"):
        load(dataclasses.replace(small, name="speech_commands10", root=str(tmp_path / "raw")))


def test_missing_clips_name_the_archive(small: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"testing_list.txt\n  35 folders: bed, .*, zero\n(.|\n)*af14739ee7dc"):
        load(dataclasses.replace(small, root=str(tmp_path / "elsewhere")))


def with_extensible_header(content: bytes, kind: int) -> bytes:
    """Return a plain WAV file with the header of ffmpeg for samples of a kind: 1 for integers, 3 for floats."""
    assert content[12:16] == b"fmt " and content[20:22] == b"\x01\x00"
    guid = struct.pack("<H", kind) + bytes.fromhex("000000001000800000aa00389b71")
    fmt = b"fmt " + struct.pack("<I", 40) + b"\xfe\xff" + content[22:36] + struct.pack("<HHI", 22, 16, 4) + guid
    rest = b"LIST" + struct.pack("<I", 4) + b"INFO" + content[36:]
    return b"RIFF" + struct.pack("<I", 4 + len(fmt) + len(rest)) + b"WAVE" + fmt + rest


def test_a_clip_with_an_extensible_header_is_read(tmp_path: Path) -> None:
    path, values = tmp_path / "x.wav", [5, -7, 32767, -32768]
    write_clip(path, np.array(values))
    plain = path.read_bytes()
    path.write_bytes(with_extensible_header(plain, 1))
    assert read_clip(path).tolist() == values
    path.write_bytes(with_extensible_header(plain, 3))
    with pytest.raises(DataError, match=r"x.wav: WAV format float; expected samples of 16 bits") as caught:
        read_clip(path)
    assert "sox" in (caught.value.hint or "")


def test_files_of_macos_and_byte_order_marks_change_nothing(small: DataConfig, tree: Path, tmp_path: Path) -> None:
    before = load(small)
    folder = copy_tree(tree, tmp_path / "raw")
    (folder / "bed" / "._s2_nohash_0.wav").write_bytes(b"\x00\x05\x16\x07 Mac OS X")
    for name in ("validation_list.txt", "testing_list.txt"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    again = load(dataclasses.replace(small, root=str(tmp_path / "raw"), cache=str(tmp_path / "other")))
    for name, split in again.splits.items():
        np.testing.assert_array_equal(split.labels, before.splits[name].labels)
        np.testing.assert_array_equal(split.inputs, before.splits[name].inputs)


def test_a_clip_is_read_sample_by_sample(tmp_path: Path) -> None:
    write_clip(Path(tmp_path / "x.wav"), np.array([0, 1, -1, 32767, -32768]))
    assert read_clip(tmp_path / "x.wav").tolist() == [0, 1, -1, 32767, -32768]
