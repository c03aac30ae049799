"""Variables of the user's shell that the runtimes read as options: none changes what a run sees."""

import os
from pathlib import Path

import pytest

from launch.actions.container_plan import ContainerOptions
from launch.actions.drive import run_queue
from launch.profiles.profile import Profile
from launch.specs.image import Image
from launch.specs.resources import Resources
from launch.store.state import State
from launch.store.store import Store
from tests.containers.places import ENGINES, place_of
from tests.launch.command_sweep import code_under, command_runs, submit_runs, sweep_of

pytestmark = pytest.mark.engine

# Options and variables for each runtime and for the programs inside; what would show that one had an effect is `leak`.
SHELL = {
    "DOCKER_DEFAULT_PLATFORM": "linux/riscv64",
    "DOCKER_CONTENT_TRUST": "1",
    "PODMAN_USERNS": "nomap",
    "CONTAINER_HOST": "unix:///nowhere.sock",
    "APPTAINERENV_LEAK": "leak",
    "SINGULARITYENV_LEAK": "leak",
    "APPTAINER_BIND": "/var:/leak",
    "SINGULARITY_BINDPATH": "/var:/leak",
    "APPTAINER_CONTAINALL": "1",
    "APPTAINER_NO_EVAL": "leak",
    "CH_RUN_OPTIONS": "leak",
    "ENROOT_MOUNT_HOME": "y",
    "NVIDIA_VISIBLE_DEVICES": "leak",
    "SLURM_STEP_NODELIST": "leak",
    "OMPI_COMM_WORLD_RANK": "leak",
    "JAX_ENABLE_X64": "leak",
    "XLA_FLAGS": "leak",
    "WANDB_RUN_ID": "leak",
    "WANDB_A_NAME_THAT_NO_ROW_HAS": "leak",
}
LOOK = (
    "import os; found = [name for name, value in os.environ.items() if value == 'leak'];"
    "print('found', found + [path for path in ('/leak', '/nowhere.sock') if os.path.exists(path)])"
)


def _look(folder: Path, profile: Profile) -> str:
    """Run a command that looks for traces of the shell, and return what it printed."""
    runs = command_runs([("python3", "-S", "-c", LOOK)], resources=Resources(mem_gb=0.25))
    store = Store(folder / "runs")
    options = ContainerOptions(runtime=profile.runtime, image=profile.image)
    sweep = sweep_of(runs, retry={})
    (view,) = run_queue(submit_runs(sweep, runs, store, profile, options=options, source=code_under(folder)))
    log = Path(view.run_dir, "attempts/0/log.txt").read_text()
    assert view.state is State.SUCCEEDED, (view.message, log)
    return log


@pytest.fixture(autouse=True)
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCH_SLOTS", str(tmp_path / "slots"))
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))


def _set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("runtime", ENGINES)
def test_an_engine_and_its_run_get_no_options_of_the_shell(
    runtime: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of(request, runtime)
    _set(monkeypatch)
    assert "found []" in _look(tmp_path, Profile(name="local", runtime=place.runtime, image=place.image))
    assert os.environ["CONTAINER_HOST"] == SHELL["CONTAINER_HOST"]  # the shell's own variables stay


def test_a_file_runtime_and_its_run_get_no_options_of_the_shell(
    file_image: tuple[str, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, image = file_image
    _set(monkeypatch)
    assert "found []" in _look(tmp_path, Profile(name="local", runtime=runtime, image=str(image.file)))
