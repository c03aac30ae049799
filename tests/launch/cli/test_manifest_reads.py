"""A command reads the manifest of its sweep once, plus at most one generation that it wrote itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launch.cli import main
from launch.store import manifest
from launch.store.state import State
from tests.launch.made_sweep import Made, make_sweep

SWEEP = """
experiment: digits/s5
command: ["true"]
seeds: 2
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the generations that this process reads, one entry for each time a file is opened."""
    opened: list[str] = []
    read = manifest.read_bytes
    monkeypatch.setattr(manifest, "read_bytes", lambda path: opened.append(Path(path).name) or read(path))
    return opened


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., int]:
    return lambda *words: main([*words, "--runs", str(tmp_path / "runs")])


def test_sweep(tmp_path: Path, launch: Callable[..., int], reads: list[str]) -> None:
    (tmp_path / "two.yaml").write_text(SWEEP)
    assert launch("sweep", str(tmp_path / "two.yaml")) == 0
    assert len(reads) <= 2, reads


VERBS = [
    ["status"],
    ["status", "a"],
    ["results", "a"],
    ["retry", "a"],
    ["cancel", "a"],
]


@pytest.mark.parametrize("words", VERBS, ids=lambda words: "-".join(words))
def test_verb(words: list[str], tmp_path: Path, launch: Callable[..., int], reads: list[str]) -> None:
    runs = [Made(seed=0, state=State.SUCCEEDED, accuracy=0.5), Made(seed=1, state=State.FAILED), Made(seed=2)]
    make_sweep(tmp_path / "runs", "a", runs)
    reads.clear()
    launch(*words)
    assert len(reads) <= 2, reads
