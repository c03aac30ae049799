"""`max_parallel` holds over all arrays of a sweep, and a changed number reaches the arrays in the queue."""

from launch.store.state import State
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.slurm.project import Project


def test_another_number_changes_the_arrays_of_a_sweep_and_of_its_retry(project: Project, slurm: Slurm) -> None:
    project.sweep(runs=4, max_parallel=1)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(1)
    project.launch("cancel", project.views()[2].run_id)
    project.launch("retry", "x")
    assert "x: 1 of 4 runs: 1 planned: 1 submitted to test" in project.said and "max_parallel" not in project.said
    assert "afterany" in slurm.call("squeue", "-h", "-o", "%E")
    project.sweep(runs=4, max_parallel=3)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "max_parallel is now 3 (was 1)" in project.said
    assert wait_until(lambda: project.states().count(State.RUNNING) == 3, 30), slurm.jobs()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "max_parallel" not in project.said
    project.sweep(runs=4, max_parallel=1)
    project.launch("sweep", "x.yaml", "--on", "test")
    expected = "max_parallel is now 1 (was 3): 3 runs execute, and no other begins before 3 of them have ended"
    assert expected in project.said
    assert "afterany" in slurm.call("squeue", "-h", "-o", "%E")
