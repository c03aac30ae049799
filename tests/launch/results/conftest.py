from pathlib import Path

import pytest

from tests.launch.edited_sweep import EditedSweep


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EditedSweep:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAUNCH_RUNS", raising=False)
    return EditedSweep(tmp_path)
