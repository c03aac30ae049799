"""kill -9 of every kind of process, then the command again. `benchmarks.recovery --on slurm` has many more kills."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.slurm import Slurm
from tests.kill.harness import wait_until
from tests.kill.slurm_harness import ATTEMPT_POINTS, MENDING_POINTS, RESULT_POINTS, SUBMIT_POINTS, SlurmHarness

MakeHarness = Callable[..., SlurmHarness]


@pytest.fixture
def harness(slurm: Slurm, tmp_path: Path) -> MakeHarness:
    def make(**settings: object) -> SlurmHarness:
        return SlurmHarness(tmp_path, slurm=slurm, **settings)

    return make


def ends_well(harness: SlurmHarness) -> dict[str, int]:
    harness.finish()
    counts = harness.check()
    assert harness.left_processes() == []
    return counts


def test_the_command_killed_at_every_step_of_a_submission(harness: MakeHarness) -> None:
    killed = harness(runs=2, steps=1, step_s=0.005, first=1)
    for point in SUBMIT_POINTS:
        assert killed.fault(point) == -signal.SIGKILL, f"{point} was not passed"
    assert ends_well(killed)["attempts"] == 2


@pytest.mark.parametrize("points", MENDING_POINTS, ids=" then ".join)
def test_the_command_killed_again_while_it_mends(harness: MakeHarness, points: tuple[str, ...]) -> None:
    killed = harness(runs=2, steps=1, step_s=0.005, first=1)
    assert [killed.fault(point) for point in points][-1] == -signal.SIGKILL
    ends_well(killed)


def test_supervisors_and_payloads_killed_at_every_step(harness: MakeHarness) -> None:
    killed = harness(runs=1, steps=3, step_s=0.005)
    for number, point in enumerate(ATTEMPT_POINTS):
        killed.fault(point)
        assert not list(killed.sweep.glob("*/result.json")), f"{point} was not passed"
        # The next command records a job that was killed before it had claimed an attempt.
        assert len(list(killed.sweep.glob("*/attempts/[0-9]*"))) == number + (number > 0), point
    ends_well(killed)


def test_supervisors_and_payloads_killed_with_the_result_at_hand(slurm: Slurm, tmp_path: Path) -> None:
    harnesses = [SlurmHarness(tmp_path / str(n), runs=1, steps=1, slurm=slurm) for n in range(len(RESULT_POINTS))]
    for command in [each.type_command(point) for each, point in zip(harnesses, RESULT_POINTS, strict=True)]:
        command.communicate(timeout=60)
    harnesses[0].rest()
    for command in [each.type_command() for each in harnesses]:
        command.communicate(timeout=60)
    for each in harnesses:
        ends_well(each)


def test_a_supervisor_killed_before_it_asks_for_its_requeue(harness: MakeHarness, slurm: Slurm) -> None:
    killed = harness(runs=1, steps=1000, requeue=True)
    killed.type_command("task.requeue").communicate()
    assert wait_until(lambda: killed.journal.exists(), 30)
    slurm.call("scancel", "--batch", "--signal=USR2", slurm.jobs("%i")[0])
    killed.rest()
    killed.steps = 1
    assert ends_well(killed)["attempts"] == 2


@pytest.mark.parametrize(("seed", "requeue"), [(0, False), (1, True)])
def test_killed_at_random_instants(harness: MakeHarness, seed: int, requeue: bool) -> None:
    killed = harness(runs=3, steps=5, requeue=requeue, first=seed)
    rng = random.Random(seed)
    for _ in range(2):
        killed.kill_at_random(rng, 1.5)
    ends_well(killed)


def test_slurmctld_and_the_nodes_killed_in_the_middle_of_a_sweep(harness: MakeHarness, slurm: Slurm) -> None:
    killed = harness(runs=3, steps=20, step_s=0.1)
    killed.type_command().communicate()
    for name in ("slurmctld", *slurm.settings.node_names):
        slurm.daemon(name).kill()
    slurm.start()
    # Jobs that slurmctld had taken and not yet saved, it knows no more: their runs get new ones.
    ends_well(killed)


def test_the_harness_sees_an_orphan(harness: MakeHarness, slurm: Slurm) -> None:
    killed = harness(runs=1, steps=1)
    killed.finish()
    name = f"{killed.sweep.name}.0123456789abcdef"
    slurm.call("sbatch", "--hold", "-J", name, "-o", "/dev/null", "--wrap", "true")
    with pytest.raises(AssertionError, match="orphans in the queue"):
        killed.check()
