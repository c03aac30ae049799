"""A shell that has options of Slurm's commands, or is part of a job itself: the profile and the sweep decide."""

from pathlib import Path

import pytest

from launch.store.state import State
from tests.slurm.project import Project

# Options and formats of every command that the launcher calls; a step of another job; ranks of another program.
SHELL = {
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_TIMELIMIT": "1-0",
    "SBATCH_ARRAY_INX": "0-9",
    "SBATCH_NO_REQUEUE": "1",
    "SQUEUE_FORMAT": "%i",
    "SQUEUE_STATES": "COMPLETED",
    "SACCT_FORMAT": "jobid",
    "SINFO_FORMAT": "%P",
    "SCANCEL_STATE": "RUNNING",
    "SLURM_TIME_FORMAT": "%s",
    "SLURM_JOB_ID": "4711",
    "SLURM_NTASKS": "4",
    "SLURM_MEM_PER_CPU": "7",
    "SLURM_STEP_NODELIST": "elsewhere",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "JAX_NUM_PROCESSES": "4",
    # Settings of the programs that a run consists of.
    "JAX_ENABLE_X64": "1",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    "WANDB_RUN_ID": "another",
    "OMPI_COMM_WORLD_SIZE": "4",
    "CUDA_VISIBLE_DEVICES": "5",
    "APPTAINER_BIND": "/srv",
    "CONTAINER_HOST": "ssh://elsewhere",
}
PRINT_VARIABLES = (
    "import os; families = ('SLURM_STEP', 'JAX_', 'SBATCH_', 'XLA', 'WANDB', 'OMPI', 'APPTAINER', 'CONTAINER_');"
    "print({k: v for k, v in os.environ.items() if k.startswith(families)}, os.environ['CUDA_VISIBLE_DEVICES'] != '5')"
)


@pytest.fixture
def shell(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    del project  # its fixture clears the environment
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("shell")
def test_options_in_the_shell_change_no_submission_and_no_query(project: Project) -> None:
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "2 submitted to test in 1 array" in project.said
    options = "SBATCH_ARRAY_INX, SBATCH_JOB_NAME, SBATCH_NO_REQUEUE, SBATCH_TIMELIMIT"
    assert f"not used: {options}; slurm/test.yaml and `resources` of the sweep" in project.said
    assert "not used: JAX_ENABLE_X64, WANDB_RUN_ID, XLA_FLAGS; `env` in slurm/test.yaml" in project.said
    project.until_started(2)
    assert project.states() == [State.RUNNING, State.RUNNING]
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "nothing new" in project.said
    project.hold(False)
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 2


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("place", ["test", "local"])
def test_a_run_is_not_told_of_the_step_around_the_shell(project: Project, place: str) -> None:
    Path("print.py").write_text(PRINT_VARIABLES)
    project.sweep(runs=1, command=["python", str(Path("print.py").absolute())])
    project.launch("sweep", "x.yaml", "--on", place)
    project.until(State.SUCCEEDED)
    assert "{'JAX_NUM_PROCESSES': '1'} True" in project.launch("logs", project.views()[0].run_id)
