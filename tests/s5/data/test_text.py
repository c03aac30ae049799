"""LRA's Text and Retrieval tasks, from tiny files in the published formats."""

import dataclasses
import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5.catalog import CATALOG, DataError, MissingData
from s5.config.choices import Head
from s5.config.compat import UPSTREAM
from s5.config.data import DataConfig
from s5.data import load
from s5.data.archive import unpack
from s5.data.batch import gather
from s5.data.tokens import EOS, UNK

TEXT = "A film.<br /><br />Très bien, 9/10! "
RARE = "Ω"


def review(split, kind: str, number: int) -> Any:
    return (TEXT * (1 + number % 3) + f"{kind} {number} {RARE * (number == 0)}") * (80 if number == 3 else 1)


@pytest.fixture
def reviews(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataConfig:
    """Make the catalog's IMDB one of 12 and 8 reviews."""
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    for name in ("imdb", "imdb_bytes"):
        small = dataclasses.replace(CATALOG[name], sizes={"train": 10, "val": 2, "test": 8}, length=512)
        monkeypatch.setitem(CATALOG, name, small)
    return DataConfig(name="imdb", root=str(tmp_path / "raw"))


def write_reviews(folder: Path) -> None:
    for split, count in (("train", 6), ("test", 4)):
        for kind, rating in (("neg", 2), ("pos", 9)):
            (folder / split / kind).mkdir(parents=True)
            for number in range(count):
                path = folder / split / kind / f"{number + 7}_{rating}.txt"
                path.write_text(review(split, kind, number), encoding="utf-8")
    (folder / "train/unsup").mkdir()
    (folder / "train/unsup/0_0.txt").write_text("unlabelled")
    (folder / "train/neg/README").write_text("no review")


def vocabulary(length: int = 512) -> dict[str, int]:
    texts = [review("train", kind, number)[: length - 1] for kind in ("neg", "pos") for number in range(6)]
    counts = Counter("".join(texts))
    kept = sorted((c for c in counts if counts[c] >= 15), key=lambda c: (-counts[c], ord(c)))
    return {character: number for number, character in enumerate(kept, 3)}


@pytest.mark.parametrize("folder", ["aclImdb", "imdb/aclImdb"])
def test_reviews_become_characters(reviews: DataConfig, folder: str) -> None:
    write_reviews(Path(reviews.root) / folder)
    dataset = load(reviews)
    assert (dataset.n_classes, dataset.length, dataset.d_input) == (2, 512, 135)
    numbers, test = vocabulary(), dataset.splits["test"]
    assert RARE not in numbers and len(numbers) > 10
    batch = gather(test, np.arange(8))
    assert batch.inputs.dtype == np.uint8
    assert batch.labels.tolist() == [0] * 4 + [1] * 4
    for row in range(8):
        text = review("test", ("neg", "pos")[row // 4], row % 4)[:511]
        expected = [*(numbers.get(c, UNK) for c in text), EOS]
        assert batch.lengths[row] == len(expected)
        assert batch.inputs[row, :, 0].tolist() == expected + [0] * (512 - len(expected))
    assert (batch.lengths == 512).sum() == 2


def test_a_part_of_the_training_reviews_validates_unless_upstream_s_way_is_asked_for(reviews: DataConfig) -> None:
    write_reviews(Path(reviews.root) / "aclImdb")
    ours, theirs = load(reviews), load(reviews, UPSTREAM)
    assert {name: len(split) for name, split in ours.splits.items()} == {"train": 10, "val": 2, "test": 8}
    rows = [ours.splits[name].rows for name in ("train", "val", "test")]
    assert sorted(row for part in rows for row in part) == list(range(20)) and rows[2].tolist() == list(range(12, 20))
    train = gather(ours.splits["train"], np.arange(10))
    assert train.labels.tolist() == (rows[0] >= 6).tolist()
    assert {name: len(split) for name, split in theirs.splits.items()} == {"train": 12, "val": 8, "test": 8}
    assert theirs.splits["val"] is theirs.splits["test"]
    other = load(dataclasses.replace(reviews, split_seed=7))
    assert not np.array_equal(other.splits["val"].rows, rows[1])


def test_bytes_are_shifted_by_one_and_have_no_end(reviews: DataConfig) -> None:
    write_reviews(Path(reviews.root) / "aclImdb")
    dataset = load(dataclasses.replace(reviews, name="imdb_bytes"))
    batch = gather(dataset.splits["test"], np.arange(8))
    content = np.frombuffer(review("test", "pos", 1).encode(), np.uint8)
    assert batch.lengths[5] == len(content) < 512
    np.testing.assert_array_equal(batch.inputs[5, : len(content), 0], content + 1)
    assert not batch.inputs[5, len(content) :].any()


def test_reviews_missing_or_in_another_encoding_are_named_and_leave_nothing(
    reviews: DataConfig, tmp_path: Path
) -> None:
    folder = Path(reviews.root) / "aclImdb"
    with pytest.raises(MissingData, match=r"train/neg/\n(.|\n)*aclImdb_v1.tar.gz(.|\n)*c40f74a18d3b"):
        load(reviews)
    write_reviews(folder)
    review_path = folder / "test/pos/8_9.txt"
    review_path.write_bytes("Très".encode("latin-1"))
    with pytest.raises(DataError, match=r"test/pos/8_9.txt: not UTF-8"):
        load(reviews)
    review_path.unlink()
    with pytest.raises(DataError, match=r"test/pos: 3 reviews; expected 4"):
        load(reviews)
    assert os.listdir(tmp_path / "cache") == [".imdb-v1.lock"]


def test_more_characters_than_inputs_are_refused(reviews: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reviews(Path(reviews.root) / "aclImdb")
    monkeypatch.setitem(CATALOG, "imdb", dataclasses.replace(CATALOG["imdb"], d_input=12))
    with pytest.raises(DataError, match="characters occur 15 times or more; expected at most 9"):
        load(reviews)


def test_the_archive_s_unlabelled_reviews_are_left_out(reviews: DataConfig, tmp_path: Path) -> None:
    write_reviews(tmp_path / "aclImdb")
    with tarfile.open(tmp_path / "aclImdb_v1.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "aclImdb", "aclImdb")
        note = tarfile.TarInfo("aclImdb/README")
        tar.addfile(note, io.BytesIO())
    archive = dataclasses.replace(CATALOG["imdb"].archives[0], sha256=None)
    unpack(dataclasses.replace(CATALOG["imdb"], archives=(archive,)), tmp_path / "aclImdb_v1.tar.gz", reviews.root)
    assert not (Path(reviews.root) / "aclImdb/train/unsup").exists()
    assert len(load(reviews).splits["test"]) == 8


PAIRS = {
    "train": [("1.0", "abc" * 21 + "z", "a \"quoted' b"), ("0.0", "", "é\u2028x"), ("1.0", "b", "c\x85d")],
    "val": [("0.0", "abc", "Ω")],
    "test": [("1.0", "a" * 200, "b"), ("0.0", "c", "d")],
}


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataConfig:
    """Make the catalog's AAN one of six pairs of at most 63 characters."""
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    sizes = {split: len(rows) for split, rows in PAIRS.items()}
    small = dataclasses.replace(CATALOG["aan"], sizes=sizes, length=64, d_input=20)
    monkeypatch.setitem(CATALOG, "aan", small)
    return DataConfig(name="aan", root=str(tmp_path / "raw"))


def write_pairs(config, folder: str = "tsv_data", change: Callable[..., Any] = lambda text: text) -> None:
    path = Path(config.root) / folder
    path.mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "eval"), ("test", "test")):
        text = "".join(f"{label}\tP{k}\tQ{k}\t{one}\t{two}\n" for k, (label, one, two) in enumerate(PAIRS[split]))
        content = change(text) if split == "test" else text
        (path / f"new_aan_pairs.{name}.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("folder", ["tsv_data", "lra_release/lra_release/tsv_data", "aan"])
def test_pairs_become_two_documents(pairs: DataConfig, folder: str) -> None:
    write_pairs(pairs, folder)
    counts = Counter("".join(one[:63] + two[:63] for _, one, two in PAIRS["train"]))
    numbers = {c: n for n, c in enumerate(sorted(counts, key=lambda c: (-counts[c], ord(c))), 3)}
    with pytest.warns(UserWarning, match=f"aan: {len(numbers) + 3} different tokens; expected 20"):
        dataset = load(pairs)
    assert (dataset.head, dataset.n_classes, dataset.length) == (Head.retrieval, 2, 64)
    assert dataset.d_input == len(numbers) + 3
    for split, rows in PAIRS.items():
        batch = gather(dataset.splits[split], np.arange(len(rows)))
        assert batch.inputs.shape == (len(rows), 2, 64, 1) and batch.lengths.shape == (len(rows), 2)
        for row, (label, *texts) in enumerate(rows):
            assert batch.labels[row] == float(label)
            for document, text in enumerate(texts):
                expected = [*(numbers.get(c, UNK) for c in text[:63]), EOS]
                assert batch.lengths[row, document] == len(expected)
                assert batch.inputs[row, document, :, 0].tolist() == expected + [0] * (64 - len(expected))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.index("\n") + 1], r"test.tsv: 1 lines; the published file has 2"),
        (lambda text: text[:-9], r"test.tsv, line 2: \d columns"),
        (lambda text: text.replace("0.0", "yes"), r"test.tsv, line 2: 5 columns, the first is 'yes'"),
        (lambda text: text.replace("\tQ0", ""), r"test.tsv, line 1: 4 columns"),
        (lambda text: text.encode().replace(b"\tb", b"\t\xff"), r"test.tsv, line 1: not UTF-8"),
    ],
    ids=["a-row-less", "cut", "label", "columns", "encoding"],
)
def test_damaged_pairs_are_named_and_leave_nothing(
    pairs: DataConfig, tmp_path: Path, change: Callable[..., Any], message: str
) -> None:
    write_pairs(pairs, change=change)
    with pytest.raises(DataError, match=message):
        load(pairs)
    assert os.listdir(tmp_path / "cache") == [".aan-v1.lock"]
