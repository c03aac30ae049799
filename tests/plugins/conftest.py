"""The data and the plug-in of a user."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.plugins.command import EXAMPLES


@pytest.fixture
def walks(tmp_path: Path) -> Path:
    """A user's folder of CSV files of different lengths, with three classes of walks in the plane."""
    rng = np.random.default_rng(0)
    for label, (name, speed, turn) in enumerate((("slow", 0.1, 0.0), ("fast", 0.5, 0.0), ("turning", 0.3, 0.3))):
        (tmp_path / "csv" / name).mkdir(parents=True)
        for i in range(20):
            n = int(rng.integers(40, 121))
            angle = turn * np.arange(n) + rng.normal(0, 0.1, n).cumsum() + label
            steps = speed * np.stack([np.cos(angle), np.sin(angle)], -1)
            np.savetxt(tmp_path / "csv" / name / f"{i:02}.csv", steps, delimiter=",", header="dx,dy", comments="")
    return tmp_path / "csv"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the example that a test may edit."""
    return Path(shutil.copytree(EXAMPLES / "walks", tmp_path / "own"))
