"""A run in Apptainer on a cluster: asked to stop, requeued by its supervisor outside, and gone on with."""

from launch.image import Image
from launch.records import State
from tests.engines.apptainer import Apptainer
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.slurm.project import Project
from tests.slurm.trained import job_of


def test_a_run_in_a_container_is_requeued(
    project: Project, slurm: Slurm, file_images: dict[str, Image], apptainer_engine: Apptainer
) -> None:
    image = file_images["apptainer"]
    setup = [f"export PATH={apptainer_engine.programs}:$PATH"]  # as a module does
    project.profile(runtime="apptainer", image=image.file, setup=setup, env={"SAID": "it's `so`"})
    code = "import os; assert os.environ['SAID'] == \"it's `so`\" and os.path.exists('/.singularity.d')\n"
    payload = project.folder / "payload.py"
    payload.write_text(code + payload.read_text())
    project.hold()
    project.sweep(runs=1, command=["python3", "-S", str(payload), str(project.folder)])
    project.launch("sweep", "x.yaml", "--on", "test")
    (view,) = project.views()
    project.until_started(1)
    slurm.call("scancel", "--batch", "--signal=USR2", job_of(view.run_dir, 0))
    assert wait_until(lambda: project.reasons(view.run_dir)[0], 60), slurm.jobs()
    project.until_started(2)
    project.hold(False)
    project.until(State.SUCCEEDED)
    assert project.reasons(view.run_dir) == ["preempted", "success"]
    attempts = [project.attempt(view.run_dir, number) for number in (0, 1)]
    assert [attempt["job_id"] for attempt in attempts] == [attempts[0]["job_id"]] * 2
    assert [(attempt["runtime"], attempt["image"]["id"]) for attempt in attempts] == [("apptainer", image.id)] * 2
