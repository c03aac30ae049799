import json
import random
from pathlib import Path

import pytest

from tests.kill.harness import LAUNCHER_POINTS, PAYLOAD_POINTS, SUPERVISOR_POINTS, Harness

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("point", [*LAUNCHER_POINTS, *SUPERVISOR_POINTS, *PAYLOAD_POINTS])
def test_killed_at_a_named_point_every_run_succeeds_exactly_once(tmp_path: Path, point: str) -> None:
    harness = Harness(tmp_path, runs=2, steps=1, step_s=0.005, retries=1)
    harness.fault(point)
    harness.finish()
    harness.check()
    assert harness.left_processes() == []


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_instants_every_run_succeeds_exactly_once(tmp_path: Path, seed: int) -> None:
    harness = Harness(tmp_path, runs=3, steps=5, first=seed % 3)
    rng = random.Random(seed)
    for _ in range(2):
        harness.kill_at_random(rng, 0.6)
    harness.finish()
    harness.check()
    assert harness.left_processes() == []


def test_typed_many_times_at_once_every_run_succeeds_exactly_once(tmp_path: Path) -> None:
    harness = Harness(tmp_path, runs=3)
    commands = [harness.type_command() for _ in range(4)]
    said = [command.communicate()[1].decode() for command in commands]
    assert 0 in [command.returncode for command in commands], said
    for command, words in zip(commands, said, strict=True):
        assert command.returncode == 0 or "is being run by process" in words
    harness.finish()
    assert harness.check()["attempts"] == 3


def test_harness_sees_a_run_that_was_executed_twice(tmp_path: Path) -> None:
    harness = Harness(tmp_path, runs=1)
    harness.finish()
    harness.check()
    line = json.loads(harness.journal.read_text().splitlines()[-1])
    with harness.journal.open("a") as journal:
        journal.write(json.dumps(line) + "\n")
    with pytest.raises(AssertionError, match="executed to success twice"):
        harness.check()


def test_harness_sees_a_run_that_began_before_its_turn(tmp_path: Path) -> None:
    harness = Harness(tmp_path, runs=2, steps=1, first=1)
    harness.finish()
    harness.check()
    lines = harness.journal.read_text().splitlines()
    harness.journal.write_text("\n".join(lines[::-1]) + "\n")
    with pytest.raises(AssertionError, match="began before those that come first"):
        harness.check()


def test_harness_sees_a_run_that_was_lost(tmp_path: Path) -> None:
    harness = Harness(tmp_path, runs=1)
    harness.finish()
    next(harness.sweep.glob("*/result.json")).unlink()
    with pytest.raises(AssertionError, match="lost"):
        harness.check()


def test_every_named_point_is_passed() -> None:
    words = [path.read_text() for path in [*(ROOT / "launch").rglob("*.py"), ROOT / "tests" / "kill" / "payload.py"]]
    for point in (*LAUNCHER_POINTS, *SUPERVISOR_POINTS, *PAYLOAD_POINTS):
        assert any(f'("{point}")' in text for text in words), f"{point} is armed by a test and never passed"
