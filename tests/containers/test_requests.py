"""The complete command of each runtime for the same run, compared with a stored command."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from launch.backends.slurm.srun import srun_call
from launch.containers.runtimes import CommandCall, find_runtime
from launch.errors import LaunchError
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.state import Reason
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, SUPERVISOR_PIPE_VARIABLE

GOLDEN = Path(__file__).parent / "golden"
ATTEMPT = "/scratch/ann/runs/lra/listops-s0/attempts/2"
SURROUNDINGS = {
    "PATH": "/usr/local/bin:/usr/bin",
    "HOME": "/home/ann",
    "USER": "ann",
    "LAUNCH_PASS": "LR_NOTE",
    "LR_NOTE": "it's `here` and $HOME",
    "SLURM_JOB_ID": "77",
    "SLURM_JWT": "no one's business",
    "WANDB_API_KEY": "no one's business",
    "APPTAINERENV_AWS": "whatever was set before",
    "LD_LIBRARY_PATH": "/opt/cuda/lib64",
    "ENROOT_CACHE_PATH": "/scratch/ann/enroot",
}


def call(*, gpus: int, source: str = "/data/lra", image: str = "/scratch/ann/runs/.images/0123.sif") -> CommandCall:
    return CommandCall(
        command=("python", "-m", "s5", "train", "/scratch/ann/runs/lra/listops-s0"),
        variables={
            ATTEMPT_DIR_VARIABLE: ATTEMPT,
            SUPERVISOR_PIPE_VARIABLE: "5",
            "CUDA_VISIBLE_DEVICES": "1" if gpus else "",
        },
        folder=ATTEMPT,
        snapshot="/scratch/ann/runs/.snapshots/ab12",
        resources=Resources(gpus_per_node=gpus),
        image=Image(name="cuda12", reference="sha256:ef", file=image),
        mounts=(
            Mount(source="/scratch/ann/runs/lra/listops-s0", target="/scratch/ann/runs/lra/listops-s0", writable=True),
            Mount(source="/scratch/ann/runs/.snapshots/ab12", target="/scratch/ann/runs/.snapshots/ab12"),
            Mount(source=source, target="/data/lra"),
        ),
    )


@pytest.mark.parametrize("gpus", [0, 1], ids=["cpu", "gpu"])
@pytest.mark.parametrize("runtime", ["apptainer", "charliecloud", "pyxis"])
def test_request(runtime: str, gpus: int) -> None:
    request = dataclasses.asdict(find_runtime(runtime).wrap(call(gpus=gpus), SURROUNDINGS))
    text = json.dumps(request, indent=2, sort_keys=True, ensure_ascii=False)
    assert "business" not in text
    assert text == (GOLDEN / f"{runtime}-{'gpu' if gpus else 'cpu'}.json").read_text().rstrip("\n")


@pytest.mark.parametrize("runtime", ["apptainer", "charliecloud", "pyxis"])
def test_job_step(runtime: str) -> None:
    """What the supervisor starts on the first node for several tasks: each learns from its own step which one it is."""
    resources = Resources(nodes=2, tasks_per_node=4, cpus_per_task=8, gpus_per_node=4)
    own = dataclasses.replace(call(gpus=4), resources=resources)
    surroundings = {**SURROUNDINGS, "SLURM_PROCID": "0", "JAX_PLATFORMS": "cuda"}
    step = srun_call(find_runtime(runtime).wrap(own, surroundings), resources, {"SLURM_JOB_ID": "77"}, "node1")
    text = json.dumps(dataclasses.asdict(step), indent=2, sort_keys=True, ensure_ascii=False)
    assert text == (GOLDEN / f"{runtime}-step.json").read_text().rstrip("\n")


@pytest.mark.parametrize(
    ("runtime", "source"),
    [("charliecloud", "/data/a:b"), ("pyxis", "/data/a:b"), ("pyxis", "/data/a,b")],
)
def test_path_that_cannot_be_said(runtime: str, source: str) -> None:
    with pytest.raises(LaunchError, match="cannot mount a path with"):
        find_runtime(runtime).wrap(call(gpus=0, source=source), SURROUNDINGS)


def test_the_engine_is_named_without_a_password() -> None:
    docker = find_runtime("docker")
    found = [
        docker.engine({"DOCKER_HOST": host}) for host in ("ssh://ann:pw@far:22", "ssh://ann@far:22", "tcp://:pw@far")
    ]
    assert found == ["ssh://ann@far:22", "ssh://ann@far:22", "tcp://@far"]
    assert docker.engine({}) == "unix:///var/run/docker.sock"
    assert find_runtime("podman").engine({"DOCKER_HOST": "tcp://far"}) is None


def test_the_engine_is_that_of_the_context(tmp_path: Path) -> None:
    """As `docker context use` leaves it; DOCKER_HOST stands above it, and `default` stands for no context."""
    digest = hashlib.sha256(b"desk").hexdigest()
    meta = tmp_path / "contexts/meta" / digest
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text('{"Name": "desk", "Endpoints": {"docker": {"Host": "unix:///desk.sock"}}}')
    (tmp_path / "config.json").write_text('{"currentContext": "desk"}')
    docker, surroundings = find_runtime("docker"), {"DOCKER_CONFIG": str(tmp_path)}
    assert docker.engine(surroundings) == "unix:///desk.sock"
    assert docker.engine({**surroundings, "DOCKER_HOST": "tcp://far"}) == "tcp://far"
    for name in ("default", "gone"):
        assert docker.engine({**surroundings, "DOCKER_CONTEXT": name}) == "unix:///var/run/docker.sock"


def test_path_that_must_be_quoted() -> None:
    command = find_runtime("apptainer").wrap(call(gpus=0, source='/data/"lra",x'), SURROUNDINGS).command
    assert 'type=bind,"source=/data/""lra"",x",destination=/data/lra,ro' in command


@pytest.mark.parametrize("runtime", ["apptainer", "charliecloud", "pyxis"])
def test_image_that_is_not_converted(runtime: str) -> None:
    own = dataclasses.replace(call(gpus=0), image=Image(name="cpu", reference="sha256:ef"))
    with pytest.raises(LaunchError, match="the image cpu, which is not converted"):
        find_runtime(runtime).wrap(own, SURROUNDINGS)


_STARTED = "epoch 1: loss 0.3\nValueError: no\n"
_PYXIS = """slurmstepd: error: pyxis: child 3 failed with error code: 1
slurmstepd: error: pyxis: mksquashfs: no space left on device
slurmstepd: error: Failed to invoke spank plugin stack
srun: error: n1: task 0: Exited with exit code 1
"""


@pytest.mark.parametrize(
    ("runtime", "code", "log", "message"),
    [
        ("apptainer", 255, 'FATAL:   "python": executable file not found in $PATH\n', '"python": executable file not'),
        ("apptainer", 1, "FATAL:   a word of the command's own\n", None),
        ("apptainer", 1, "INFO   : x\n\x1b[91mERROR  : Failed to create user namespace\n\x1b[0m", "Failed to create"),
        ("apptainer", 1, "\x1b[91mERROR  : a word of the command's own\n\x1b[0mand more\n", None),
        ("apptainer", 255, _STARTED, None),
        (
            "charliecloud",
            1,
            "ch-run[77]: error: can't execve(2): python: No such file (ch_core.c:410 2)\n",
            "can't execv",
        ),
        ("charliecloud", 1, _STARTED, None),
        ("pyxis", 1, _PYXIS, "child 3 failed with error code: 1"),
        ("pyxis", 1, _STARTED + "srun: error: n1: task 0: Exited with exit code 1\n", None),
        ("pyxis", 0, _PYXIS, None),
    ],
)
def test_command_that_never_started(runtime: str, code: int, log: str, message: str | None) -> None:
    found = find_runtime(runtime).diagnose(code, log)
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert found.reason is Reason.START
        assert found.message.startswith(f"{runtime}: {message}")
