"""Complete runs through the engines: they end and are reported like bare runs, see their GPUs, and give equal bits."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from launch.actions.cancel import cancel
from launch.actions.container_plan import ContainerOptions
from launch.actions.drive import run_queue
from launch.cli import main
from launch.containers.runtimes import find_runtime
from launch.containers.runtimes.request import FOLDER_LABEL
from launch.errors import ExitCode, LaunchError, StoreError
from launch.profiles.profile import Profile
from launch.specs.container import ContainerSettings
from launch.specs.resources import Resources
from launch.store.attempts import read_attempt
from launch.store.cancel_mark import CANCELLED
from launch.store.records import AttemptRecord
from launch.store.state import Reason, State
from launch.store.store import Store
from launch.store.view import RunView
from launch.supervise import container_session
from launch.supervise.outcome import Outcome
from launch.supervise.supervisor import Supervisor
from tests.containers.contained import Contained
from tests.containers.places import ENGINES, Place, place_of
from tests.engines.daemon import wait_until
from tests.engines.docker import BASE, Docker
from tests.engines.podman import Podman
from tests.launch.backends.local.test_slots import fake_nvidia_smi
from tests.launch.command_sweep import code_under, command_runs, submit_runs, sweep_of

pytestmark = pytest.mark.engine

GIB_AND_MORE = "x = bytearray(1 << 30)"
ENDS: list[tuple[str, tuple[Reason, int | None, int | None]]] = [
    (GIB_AND_MORE, (Reason.OUT_OF_MEMORY, None, signal.SIGKILL)),
    ("import os; os.kill(os.getpid(), 9)", (Reason.KILLED, None, signal.SIGKILL)),
    ("import os; os.kill(os.getpid(), 11)", (Reason.CRASH, None, signal.SIGSEGV)),
    ("import sys; print('s5: nan'); sys.exit(3)", (Reason.NAN, 3, None)),
    ("1 / 0", (Reason.CRASH, 1, None)),
]


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> Place:
    return place_of(request, request.param)


@pytest.fixture(autouse=True)
def slots_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCH_SLOTS", str(tmp_path / "slots"))
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))


def execute(
    folder: Path, place: Place, commands: Sequence[Sequence[str]], resources: Resources
) -> tuple[list[RunView], list[AttemptRecord]]:
    """Run commands in containers; return their states and the records of their last attempts."""
    store, runs = Store(folder / "runs"), command_runs(commands, resources=resources)
    options = ContainerOptions(runtime=place.runtime, image=place.image)
    # One after the other: of Podman's containers only the machine's own count says that the kernel killed one.
    sweep = sweep_of(runs, retry={}, max_parallel=1 if place.runtime == "podman" else None)
    submission = submit_runs(sweep, runs, store, Profile(name="local"), options=options, source=code_under(folder))
    views = run_queue(submission)
    return views, [read_attempt(f"{view.run_dir}/attempts/{view.attempts - 1}") for view in views]


def test_ends_are_classified_as_without_a_container(place: Place, tmp_path: Path) -> None:
    commands = [("python3", "-S", "-c", code) for code, _ in ENDS]
    views, records = execute(tmp_path, place, [*commands, ("no-such-program",)], Resources(mem_gb=0.25))
    found = [(record.reason, record.exit_code, record.signal) for record in records]
    assert found[:-1] == [end for _, end in ENDS], [record.message for record in records]
    assert records[-1].reason is Reason.START
    assert (records[-1].message or "").endswith(": No such file or directory")
    assert records[-1].image is not None and (records[-1].image.id or "").startswith("sha256:")
    assert {view.state for view in views} == {State.FAILED}
    assert not place.containers()


def test_an_engine_that_goes_away_is_told_of_and_the_run_goes_on(docker: Docker, tmp_path: Path) -> None:
    payload = (
        "import os, sys, time\nif os.environ['LAUNCH_ATTEMPT_DIR'].endswith('0'):\n"
        " print('ready', flush=True); time.sleep(60)"
    )
    run = contained_in(docker, tmp_path)("python3", "-S", "-c", payload)
    supervisor = run.start()
    assert wait_until(lambda: "ready" in run.log(), 60)
    docker.daemon.kill()
    docker.start()  # as its service manager does
    outcome = supervisor.close()
    assert outcome[0] == Outcome.RETRY, (
        outcome,
        run.attempt().reason,
        run.attempt().exit_code,
        run.attempt().message,
        run.log(),
    )
    assert run.attempt().reason is Reason.KILLED
    assert "the engine went away" in (run.attempt().message or "")
    assert run.start().close()[0] == Outcome.DONE
    assert not docker.call("ps", "--all", "--quiet")


def test_no_attempt_begins_while_an_engine_is_away_that_may_have_the_one_before(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by a supervisor nor by a retry; and a cancel, also one typed again, does not say that all has ended."""
    payload = (
        "import os, time; print('ready', flush=True); time.sleep(60 * os.environ['LAUNCH_ATTEMPT_DIR'].endswith('0'))"
    )
    run = contained_in(docker, tmp_path)("python3", "-S", "-c", payload)
    supervisor = run.start()
    assert wait_until(lambda: "ready" in run.log(), 60)
    supervisor.send(signal.SIGKILL)
    supervisor.close()
    docker.daemon.kill()
    monkeypatch.setattr(container_session, "KILL_ORPHAN_S", 0.5)
    with pytest.raises(StoreError, match=r"its container may still be running, .*: no Docker engine answers at unix:"):
        Supervisor(run.order).run()
    for verb in ("retry", "cancel", "cancel"):
        assert main([verb, "work", "--runs", str(tmp_path / "runs")]) == ExitCode.UNREACHABLE
        said = " ".join(capsys.readouterr().err.split())
        assert "its container may still be running, and cannot be ended: no Docker engine answers at unix:" in said
        assert "hint: if its engine does not answer" in said
    assert list(run.store.sweep("work").state().manifest.headers) == [1]
    assert [path.name for path in (run.run_dir / "attempts").iterdir()] == ["0"]
    docker.start()
    assert main(["cancel", "work", "--runs", str(tmp_path / "runs")]) == ExitCode.OK
    assert not docker.call("ps", "--all", "--quiet")
    (run.run_dir / CANCELLED).unlink()
    assert run.start().close()[0] == Outcome.DONE
    assert [run.attempt(0).reason, run.attempt(1).reason] == [None, Reason.SUCCESS]
    assert not docker.call("ps", "--all", "--quiet")


def test_a_context_names_the_engine_as_it_does_for_docker_itself(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = os.environ["DOCKER_HOST"]
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("DOCKER_HOST")
    subprocess.run(["docker", "context", "create", "desk", f"--docker=host={host}"], check=True, capture_output=True)
    subprocess.run(["docker", "context", "use", "desk"], check=True, capture_output=True)
    run = contained_in(docker, tmp_path)("python3", "-S", "-c", "pass")
    assert run.start().close()[0] == Outcome.DONE, run.attempt()
    assert run.attempt().engine == host


def test_an_engine_that_is_not_there_is_no_reason_to_wait(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was asked of it, so nothing of the attempt can be at work."""
    run = contained_in(docker, tmp_path)("true")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    assert run.start().close()[0] == Outcome.FAILED
    assert run.attempt().reason is Reason.START
    assert "docker: no Docker engine answers at" in (run.attempt().message or "")


def test_status_sees_what_nobody_watches_and_cancel_ends_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"
    profile = Profile(name="local", runtime=place.runtime, image=place.image)
    run = Contained(tmp_path, profile, ("python3", "-S", "-c", deaf))
    supervisor = run.start()
    assert wait_until(lambda: "ready" in run.log(), 60)
    supervisor.send(signal.SIGKILL)
    supervisor.close()
    for pid in hosts_of(place.runtime, str(run.path())):
        os.kill(pid, signal.SIGKILL)
    sweep = run.store.sweep("work")
    assert [view.state for view in sweep.views()] == [State.RUNNING]
    assert place.containers()
    monkeypatch.setattr(container_session, "KILL_ORPHAN_S", 0.5)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/another.sock")  # its own is asked, not the present one
    assert not cancel(run.store, ["work"]).stuck
    assert not place.containers()
    assert [view.state for view in sweep.views()] == [State.CANCELLED]


def hosts_of(runtime: str, folder: str) -> list[int]:
    """Return the host processes that control an attempt's container: our driver, or Podman itself."""
    label, found = f"LAUNCH_ATTEMPT_DIR={folder}".encode(), []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            words = Path("/proc", entry, "cmdline").read_bytes()
            stands = words.startswith(b"podman\0") if runtime == "podman" else b"docker_driver" in words
            if stands and label in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                found.append(int(entry))
    return found


def test_an_image_that_was_removed_is_named(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nENV A=1\n")
    docker.call("build", "--tag", "localhost/gone:1", str(tmp_path))
    run = contained_in(docker, tmp_path, "localhost/gone:1")("python3", "-S", "-c", "pass")
    docker.call("rmi", "localhost/gone:1")
    assert run.start().close()[0] == Outcome.FAILED
    assert run.attempt().reason is Reason.START
    assert "the engine has no image sha256:" in (run.attempt().message or "")


def contained_in(docker: Docker, folder: Path, image: str = BASE) -> Callable[..., Contained]:
    """Submit one command to an engine."""
    profile = Profile(name="local", runtime="docker", image=image)
    return lambda *command: Contained(folder, profile, command)


def test_gpus_of_the_slots_are_those_of_the_containers(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvidia_smi(tmp_path / "bin", 2)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    look = "import json, os; json.dump(dict(os.environ), open('seen', 'w'))"
    place = Place("docker", BASE, docker)
    commands = [("python3", "-S", "-c", look)] * 2
    (refused, _), (record, _) = execute(tmp_path / "without", place, commands, Resources(gpus_per_node=1))
    assert refused.state is State.FAILED
    assert "asks for 1 GPUs, and the engine cannot give any" in (record.message or "")
    docker.start(gpus=True)
    views, records = execute(tmp_path / "with", place, commands, Resources(gpus_per_node=1))
    assert [view.state for view in views] == [State.SUCCEEDED] * 2
    for view, record in zip(views, records, strict=True):
        seen = json.loads(Path(view.run_dir, "attempts/0/seen").read_text())
        assert seen["NVIDIA_VISIBLE_DEVICES"] == ",".join(map(str, record.devices))
        assert "CUDA_VISIBLE_DEVICES" not in seen, "the engine numbers them from 0"
        assert seen["S5_REQUIRE_PLATFORM"] == "gpu"


def test_a_network_of_the_user_s_own(place: Place, tmp_path: Path) -> None:
    """It is looked for before anything is stored; where it is, containers are in it."""
    own = f"launch-test-{os.getpid()}"
    settings = ContainerSettings(network=own)
    profile = Profile(name="local", runtime=place.runtime, image=place.image, container=settings, file="there.yaml")
    command = ("python3", "-S", "-c", "import os; assert 'eth0' in open('/proc/net/dev').read()")
    with pytest.raises(LaunchError) as caught:
        Contained(tmp_path, profile, command)
    assert caught.value.message == f"there.yaml: network: {place.runtime} has no network '{own}'"
    assert "it has " in str(caught.value.hint) and "host, none" in str(caught.value.hint)
    assert not list((tmp_path / "runs").glob("*"))
    place.engine.call("network", "create", "--internal", own)
    try:
        run = Contained(tmp_path, profile, command)
        assert run.start().close()[0] == Outcome.DONE, run.log()
    finally:
        place.engine.call("network", "rm", own)


def test_a_container_that_podman_made_and_never_started_is_removed(podman: Podman) -> None:
    """What `podman run` leaves, with exit code 0, where it is asked to stop before the start."""
    label = f"{FOLDER_LABEL}=/nowhere/attempts/0"
    podman.call("create", "--label", label, BASE, "true")
    assert find_runtime("podman").remove_unstarted("/nowhere/attempts/0")
    assert not podman.call("ps", "--all", "--quiet").split()
    assert not find_runtime("podman").remove_unstarted("/nowhere/attempts/0")
