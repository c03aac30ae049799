"""The `launch` command in a folder, and the plug-ins of the documentation."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
SMALL = ["model.d_model=8", "model.n_layers=1", "train.epochs=2", "train.batch_size=8"]


def launch(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LAUNCH_RUNS": str(folder / "runs"), "LAUNCH_SLOTS": str(folder / "slots")}
    command = [sys.executable, "-m", "launch.cli", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done
