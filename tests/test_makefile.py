"""What `make env` would install, without installing it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docker/locks", tmp_path / "docker/locks")
    return tmp_path


def make(clone: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in ("GPU", "MAKEFLAGS", "MFLAGS")}
    return subprocess.run(["make", "-n", *words], cwd=clone, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "lock"), [(["env"], "cpu"), (["env", "GPU=cuda12"], "cuda12"), (["sweep", "GPU=cuda13"], "cuda13")]
)
def test_the_environment_is_installed_from_the_lock_of_its_device(clone: Path, words: list[str], lock: str) -> None:
    told = make(clone, *words).stdout
    assert f"--require-hashes -r docker/locks/{lock}.txt" in told
    assert told.count("--require-hashes -r ") == 2  # by uv, or by pip


def test_a_choice_is_kept_and_a_cpu_environment_can_become_one_for_gpus(clone: Path) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").touch()
    (clone / ".venv/.runs").touch()
    assert "require-hashes" not in make(clone, "env").stdout
    assert "-r docker/locks/cuda12.txt" in make(clone, "env", "GPU=cuda12").stdout
    (clone / ".venv/.gpu").write_text("cuda12\n")
    (clone / ".venv/.runs-cuda12").touch()
    assert "require-hashes" not in make(clone, "sweep").stdout


def test_a_lock_that_does_not_exist_is_refused_with_those_that_do(clone: Path) -> None:
    done = make(clone, "env", "GPU=cuda11")
    assert done.returncode == 2
    assert "GPU=cuda11: no such lock; choose one of cuda12 cuda13" in done.stderr
