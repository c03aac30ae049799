"""Another package `s5`, such as that of s5-pytorch, is told at start-up and by `launch doctor`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launch.checks import doctor
from launch.checks.check import Level

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the code in the place of `site-packages`."""
    for name in ("launch", "s5"):
        shutil.copytree(PROJECT / name, tmp_path / "site" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


def run(code: str, *path: Path) -> "subprocess.CompletedProcess[str]":
    words = f"import sys; sys.path[:0] = {[str(folder) for folder in path]}; {code}"
    # Without installed packages (-S), or else an editable installation of this project would be found too.
    return subprocess.run(
        [sys.executable, "-P", "-S", "-c", words], capture_output=True, text=True, timeout=60, check=False
    )


COMMAND = "from launch.cli import main; sys.exit(main(['--help']))"


def test_our_own_package_is_accepted(installed: Path) -> None:
    assert run(COMMAND, installed).returncode == 0


def test_an_overwritten_file_is_an_error(installed: Path) -> None:
    (installed / "s5" / "__init__.py").write_text("from .s5_model import *\n")
    done = run(COMMAND, installed)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {installed}/s5/__init__.py is not the package `s5` of {installed}")
    assert "hint: keep s5-pytorch in another environment" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_was_removed_is_an_error(installed: Path) -> None:
    (installed / "s5" / "__init__.py").unlink()
    done = run(COMMAND, installed)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {installed}/s5/__init__.py is missing")


def test_a_package_that_comes_first_on_the_path_is_an_error(installed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "s5"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("import torch\n")
    done = run(COMMAND, other.parent, installed)
    assert done.returncode == 2 and f"{other}/__init__.py is not the package" in done.stderr


def test_the_python_interface_raises(installed: Path) -> None:
    (installed / "s5" / "__init__.py").write_text("")
    done = run("import launch; launch.load_sweep", installed)
    assert "ForeignPackage" in done.stderr and "s5-pytorch" in done.stderr


def test_doctor_names_the_other_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"s5": ["s5-launch", "s5-pytorch"]}
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: found)
    (check,) = [check for check in doctor.check_packages() if check.name == "s5"]
    assert check.level is Level.FAIL and check.message.startswith("s5-pytorch is installed here")
    found["s5"].pop()
    assert not [check for check in doctor.check_packages() if check.name == "s5"]
