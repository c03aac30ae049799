"""Runs in containers on a cluster: stopped and requeued by their supervisor, which is outside, killed, cancelled."""

import os
import shutil
import signal
from typing import Any

import pytest

from launch.store.state import State
from tests.containers.places import ENGINES, place_of
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.slurm.project import Project
from tests.slurm.trained import job_of

_RUNTIMES = ("apptainer", *ENGINES)
_OF_THE_NODES = shutil.which("sbatch")  # no image of the tests has it


def keys_of(request: pytest.FixtureRequest, project: Project, runtime: str) -> dict[str, Any]:
    """Return the settings of a profile whose runs execute in a container on the nodes and see the payload's folder."""
    if runtime == "apptainer":
        programs = request.getfixturevalue("apptainer_engine").programs
        image = request.getfixturevalue("file_images")[runtime].file
        setup = [f"export PATH={programs}:$PATH"]  # as a module does
    else:
        place = place_of(request, runtime)
        image, setup = place.image, [f"export {name}={os.environ[name]}" for name in place.engine.environment]
    mounts = [f"{project.folder}:{project.folder}:rw"]
    return {"runtime": runtime, "image": image, "setup": setup, "mounts": mounts}


def test_runs_in_containers_are_requeued(project: Project, slurm: Slurm, request: pytest.FixtureRequest) -> None:
    """All at once: Slurm takes its time to start a job again."""
    code = f"import os; assert os.environ['SAID'] == \"it's `so`\" and not os.path.exists('{_OF_THE_NODES}')\n"
    payload = project.folder / "payload.py"
    payload.write_text(code + payload.read_text())
    project.hold()
    for runtime in _RUNTIMES:
        project.profile(**keys_of(request, project, runtime), env={"SAID": "it's `so`"})
        project.sweep(runs=1, name=runtime, command=["python3", "-S", str(payload), str(project.folder)])
        project.launch("sweep", "x.yaml", "--on", "test")
    views = {runtime: project.views(runtime)[0] for runtime in _RUNTIMES}
    project.until_started(len(views))
    for view in views.values():
        slurm.call("scancel", "--batch", "--signal=USR2", job_of(view.run_dir, 0))
    for view in views.values():
        assert wait_until(lambda view=view: project.reasons(view.run_dir)[0], 60), slurm.jobs()
    project.until_started(2 * len(views))
    project.hold(False)
    for runtime, view in views.items():
        project.until(State.SUCCEEDED, sweep=runtime)
        assert project.reasons(view.run_dir) == ["preempted", "success"]
        first, second = (project.attempt(view.run_dir, number) for number in (0, 1))
        assert first["runtime"] == second["runtime"] == runtime
        assert first["image"] == second["image"]
        assert first["job_id"] == second["job_id"]


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_kill_and_a_cancellation_leave_no_container(
    runtime: str, project: Project, slurm: Slurm, request: pytest.FixtureRequest
) -> None:
    """An engine's containers are no processes of the job: what Slurm kills does not hold them."""
    project.profile(**keys_of(request, project, runtime))
    place = place_of(request, runtime)
    project.hold()
    project.sweep(runs=2, command=["python3", "-S", str(project.folder / "payload.py"), str(project.folder)])
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(2)
    killed, cancelled = project.views()
    assert len(place.containers()) == 2
    os.kill(project.attempt(killed.run_dir, 0)["pid"], signal.SIGKILL)
    assert wait_until(lambda: len(slurm.jobs()) == 1, 60), slurm.jobs()
    project.launch("cancel", "x")
    project.until(State.CANCELLED)
    assert wait_until(lambda: not place.containers(), 30), place.engine.call("ps", "--all")
    assert [project.reasons(view.run_dir) for view in (killed, cancelled)] == [[None], ["cancelled"]]
