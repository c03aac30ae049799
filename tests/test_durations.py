"""The durations of tests, which one run of pytest stores for the next."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFTEST = """
import pytest
from tests.durations import Durations, LongestFirst


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(config))


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return LongestFirst(config, log)
"""
TEST = """
import time
from pathlib import Path


def test_it():
    time.sleep({seconds})
    with Path("order").open("a") as file:
        file.write("{name} ")
"""


def order_of_a_run(folder: Path) -> list[str]:
    """Run the tests of a folder in one worker, and return their names in the order of execution."""
    (folder / "order").unlink(missing_ok=True)
    words = [sys.executable, "-m", "pytest", "-q", "-n", "1", "--dist", "loadscope", "-p", "no:jaxtyping"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "CI"))}
    environment["PYTHONPATH"] = str(ROOT)
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    return (folder / "order").read_text().split()


def test_the_next_run_starts_with_what_took_longest(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name, seconds in {"a": 0.0, "b": 0.2, "c": 0.6}.items():
        (tmp_path / f"test_{name}.py").write_text(TEST.format(name=name, seconds=seconds))
    assert order_of_a_run(tmp_path) == ["a", "b", "c"]
    assert order_of_a_run(tmp_path) == ["c", "b", "a"]
    (tmp_path / "test_b.py").unlink()
    assert order_of_a_run(tmp_path) == ["c", "a"]
    assert "test_b.py" not in (tmp_path / ".pytest_cache/v/durations").read_text()
