from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from launch.store.store import Store, SweepStore
from launch.sweepfile.sweep import Sweep, load_sweep


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test the slots of a machine of its own, and no settings of the user who runs the tests."""
    slots = tmp_path_factory.mktemp("slots")
    for name in ("LAUNCH_RUNS", "LAUNCH_FAULT", "LAUNCH_GRACE_S", "LAUNCH_CWD", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAUNCH_SLOTS", str(slots))
    return slots


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "runs")


@pytest.fixture
def sweep(store: Store) -> SweepStore:
    """A sweep `a` without anything stored."""
    return store.sweep("a")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Sweep]:
    """Return a function that writes a sweep file, and others next to it, and loads it."""

    def load(text: str, overrides: tuple[Any, ...] = (), name: str = "x.yaml", **others: Any) -> Sweep:
        for other, content in others.items():
            (tmp_path / f"{other}.yaml").write_text(dedent(content))
        path = tmp_path / name
        path.write_text(dedent(text))
        return load_sweep(path, overrides)

    return load
