"""The wheel that users install, tested outside of the repository."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SWEEP = """
experiment: digits/s5
base: {train.epochs: 1, model.n_layers: 1, model.d_model: 8}
resources: {cpus_per_task: 1}
"""


def run(folder: Path, *words: str | Path) -> str:
    """Run a command in a folder; raise if it fails."""
    environment = os.environ | {"LAUNCH_SLOTS": str(folder / "slots")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and the packages it needs, but not the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    for part in ("launch", "s5"):
        shutil.copytree(ROOT / part, folder / "source" / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, folder / "source")
    run(folder, sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", ".", "./source")
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env/bin/python"
    run(folder, sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--python", python, wheel)
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    # The .pth files in a folder that a .pth file names are not read: the editable repository is not found through them.
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env/bin"


@pytest.mark.slow
def test_the_wheel_runs_a_sweep_without_the_repository(programs: Path, tmp_path: Path) -> None:
    where = run(tmp_path, programs / "python", "-c", "import launch, s5; print(launch.__file__, s5.__file__)")
    assert all(path.startswith(str(programs.parent)) for path in where.split())
    (tmp_path / "small.yaml").write_text(SWEEP)
    table = run(tmp_path, programs / "launch", "sweep", "small.yaml")
    assert re.search(r"digits/s5 +1 +\d", table)
    (run_dir,) = {path.parent for path in (tmp_path / "runs").rglob("run.json")}
    answer = run(tmp_path, programs / "python", "-c", f"import s5; print(s5.load_run({str(run_dir)!r}).config.model)")
    assert "d_model=8" in answer
