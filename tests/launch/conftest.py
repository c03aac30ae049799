from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test the slots of a machine of its own, and no settings of whoever runs the tests."""
    slots = tmp_path_factory.mktemp("slots")
    for name in ("LAUNCH_RUNS", "LAUNCH_FAULT", "LAUNCH_GRACE_S", "LAUNCH_CWD", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAUNCH_SLOTS", str(slots))
    return slots
