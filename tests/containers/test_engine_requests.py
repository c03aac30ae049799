"""The command lines for engines. They are pure values, so the tests need no GPUs and no clusters."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from launch.containers.engine.connection import unreachable
from launch.containers.runtimes import CommandCall
from launch.containers.runtimes.environment import container_environment
from launch.containers.runtimes.request import build_request, from_plain, labels_of, run_words
from launch.specs.container import PASS_VARIABLE, ContainerSettings
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources

FOLDER = "/runs/lra/listops-s0-1a2b/attempts/2"
CALL = CommandCall(
    command=("python", "-m", "s5", "train", "/runs/lra/listops-s0-1a2b"),
    variables={"LAUNCH_ATTEMPT_DIR": FOLDER, "LAUNCH_LIFELINE_FD": "9", "CUDA_VISIBLE_DEVICES": ""},
    folder=FOLDER,
    snapshot="/runs/.snapshots/ab",
    resources=Resources(),
    image=Image(name="cpu", reference="s5-launch/cpu:1", id="sha256:1"),
    mounts=(Mount(source="/a,b", target="/c d"), Mount(source="/runs/x", target="/runs/x", writable=True)),
    labels=labels_of(FOLDER),
)
HOST = {
    "PATH": "/host",
    "HOME": "/home/me",
    "LD_LIBRARY_PATH": "/host/lib",
    "SLURM_JOB_ID": "7",
    "SLURM_JWT": "token",
    "JAX_ENABLE_X64": "0",
    "WANDB_API_KEY": "key",
    "WANDB_MODE": "offline",
    "LAUNCH_CWD": "/home/me/s5",
    "LAUNCH_SLOTS": "/tmp/slots",
    "HTTPS_PROXY": "http://me:secret@proxy",
    "MY_TOKEN": "secret",
    "CORPUS": "x",
    PASS_VARIABLE: "CORPUS,HTTPS_PROXY,MY_TOKEN",
}


def test_what_a_command_finds_inside() -> None:
    assert container_environment(CALL, HOST) == {
        "CORPUS": "x",
        "CUDA_VISIBLE_DEVICES": "",
        "HOME": "/home/me",
        "JAX_ENABLE_X64": "0",
        "LAUNCH_ATTEMPT_DIR": FOLDER,
        "LAUNCH_CWD": "/home/me/s5",
        "LAUNCH_LIFELINE_FD": "9",
        PASS_VARIABLE: "CORPUS,HTTPS_PROXY,MY_TOKEN",
        "PYTHONPATH": "/runs/.snapshots/ab",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "S5_DATA": "/home/me/s5/data",
        "SLURM_JOB_ID": "7",
        "WANDB_MODE": "offline",
    }


def test_the_container_of_a_run_without_gpus() -> None:
    request = build_request(CALL, HOST, user="7:8", lifeline=0)
    assert (request.image, request.user, request.network, request.gpu_count) == ("sha256:1", "7:8", "none", 0)
    assert request.environment["LAUNCH_LIFELINE_FD"] == "0"
    assert request.environment["NVIDIA_VISIBLE_DEVICES"] == "void", "an image of NVIDIA's would show all"
    assert request.tmpfs == ("/tmp", "/home/me")
    assert request.labels == {
        "launch.run": "lra/listops-s0-1a2b",
        "launch.attempt": "2",
        "launch.folder": FOLDER,
    }
    assert request.name.startswith("launch-listops-s0-1a2b-2-")
    assert from_plain(json.loads(json.dumps(asdict(request)))) == request


@pytest.mark.parametrize(
    ("gpus", "surroundings", "ids"),
    [
        ((1, 3), {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, ("1", "3")),
        ((), {"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}, ("2", "3")),
        ((), {"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b"}, ("GPU-1a", "GPU-2b")),
        ((), {}, ()),
    ],
    ids=["slots", "fenced", "uuids", "unknown"],
)
def test_gpus_are_named_as_the_machine_numbers_them(gpus, surroundings: dict[str, str] | dict[str, Any], ids) -> None:
    call = replace(CALL, gpus=gpus, resources=Resources(gpus_per_node=2, mem_gb=4), cores=(0, 2), needs_network=True)
    request = build_request(call, surroundings, user="7:8", lifeline=3)
    assert (request.gpus, request.gpu_count) == (ids, 2)
    assert "CUDA_VISIBLE_DEVICES" not in request.environment
    words, podman = run_words(request, podman=False), run_words(request, podman=True)
    assert ("--gpus=2" if not ids else f'--gpus="device={",".join(ids)}"') in words
    assert [word for word in podman if word.startswith("--device")] == [
        f"--device=nvidia.com/gpu={gpu}" for gpu in ids or ("0", "1")
    ]
    assert {"--cpuset-cpus=0,2", "--memory=4294967296", "--memory-swap=4294967296", "--network=host"} <= set(words)
    assert '--mount=type=bind,"src=/a,b",dst=/c d,readonly' in words
    assert words[-5:] == ["sha256:1", "-m", "s5", "train", "/runs/lra/listops-s0-1a2b"]


def test_a_profile_sets_the_container_up() -> None:
    settings = ContainerSettings(network="bridge", shm_gb=1, ulimits={"memlock": -1})
    several = Resources(tasks_per_node=2)
    words = run_words(
        build_request(replace(CALL, container=settings, resources=several), HOST, user="7:8", lifeline=0), podman=False
    )
    assert {"--network=bridge", "--ipc=host", "--ulimit=memlock=-1:-1"} <= set(words)
    alone = run_words(build_request(replace(CALL, container=settings), HOST, user="7:8", lifeline=0), podman=False)
    assert "--shm-size=1073741824" in alone


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", "permission denied", "group `docker`"),
        ("('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))", "no Docker engine", "start it"),
        ("[Errno 111] Connection refused", "no Docker engine answers at unix:///x", "DOCKER_HOST"),
        ("TLS handshake", "cannot be used: TLS handshake", "DOCKER_HOST"),
    ],
)
def test_an_engine_that_does_not_answer_is_explained(
    error: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///x")
    found = unreachable(error)
    assert message in found.message
    assert hint in (found.hint or "")
