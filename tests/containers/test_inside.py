"""The environment of a command in a container, started for real by each runtime that needs no engine."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from launch.containers.runtimes import CommandCall, find_runtime
from launch.containers.runtimes.base import Runtime
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.state import Reason
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, SUPERVISOR_PIPE_VARIABLE

_NOBODY = 65534
_OF_THE_HOST = shutil.which("git") or ""  # no image of the tests has it, and it lies under nothing that is mounted
LOOK = """
import json, os, sys
def written(path):
    try:
        open(path, "w").write("x")
    except OSError:
        return False
    return True
here = os.environ["LAUNCH_ATTEMPT_DIR"]
os.write(int(os.environ["LAUNCH_LIFELINE_FD"]), b"heard")
print(json.dumps({
    "uid": os.getuid(), "cwd": os.getcwd(), "env": dict(os.environ), "path": sys.path[:2],
    "attempt": written(here + "/file"), "root": written("/file"), "tmp": written(sys.argv[1]),
    "data": open(sys.argv[2]).read(), "more": os.path.exists(sys.argv[3]), "hosts": os.path.getsize("/etc/hosts"),
}))
sys.exit(75)
"""


class Place:
    """A run's folders, under a path that no image has, and the mounts of these folders."""

    def __init__(self, folder: Path, runtime: str, image: Image) -> None:
        self.folder, self.runtime = folder, find_runtime(runtime)
        self.attempt, self.snapshot, self.data = (folder / name for name in ("attempt", "snapshot", "data, a set"))
        for made in (self.attempt, self.snapshot, self.data):
            made.mkdir()
        (self.data / "numbers").write_text("1 2 3")
        self.image = image

    def call(self, *command: str, mounts: tuple[Mount, ...] = (), **variables: str) -> CommandCall:
        """Return the call that starts a command."""
        own = (
            Mount(source=str(self.attempt), target=str(self.attempt), writable=True),
            Mount(source=str(self.snapshot), target=str(self.snapshot)),
            Mount(source=str(self.data), target=str(self.data)),
        )
        return CommandCall(
            command=command,
            variables={ATTEMPT_DIR_VARIABLE: str(self.attempt), **variables},
            folder=str(self.attempt),
            snapshot=str(self.snapshot),
            resources=Resources(),
            image=self.image,
            mounts=(*own, *mounts),
        )

    def start(self, call: CommandCall, *, hand: tuple[int, ...] = (), user: int | None = None) -> subprocess.Popen[str]:
        """Start a command as a supervisor does, also as another user."""
        self.runtime.prepare(call)
        host = self.runtime.wrap(call, os.environ)
        return subprocess.Popen(
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            args=host.command,
            env=dict(host.environment),
            cwd=self.attempt,
            pass_fds=hand,
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def place(file_image: tuple[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"), *file_image)


def ended(runtime: Runtime, process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    return runtime.code(process.returncode), said


def test_what_a_command_finds(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its folders at their places, its variables as they stand, its descriptors, this user; nothing more, no write."""
    monkeypatch.setenv("SOMETHING_ELSE", "of the host")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    odd = "`id` $HOME 'and' \"more\" ü, =x"
    reading, writing = os.pipe()
    words = ("-S", "-c", LOOK, str(tmp_path / "scratch"), str(place.data / "numbers"), _OF_THE_HOST)
    variables = {SUPERVISOR_PIPE_VARIABLE: str(writing), "XLA_FLAGS": odd, "CUDA_VISIBLE_DEVICES": ""}
    code, said = ended(place.runtime, place.start(place.call("python3", *words, **variables), hand=(writing,)))
    os.close(writing)
    assert code == 75, said
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"heard"
    found = json.loads(said)
    assert (found["uid"], found["cwd"], found["data"]) == (os.getuid(), str(place.attempt), "1 2 3")
    assert found["path"] == [str(place.snapshot), found["path"][1]]
    assert (found["attempt"], found["root"], found["tmp"], found["more"]) == (True, False, True, False)
    assert found["hosts"] > 0
    variables = found["env"]
    assert (variables["XLA_FLAGS"], variables["CUDA_VISIBLE_DEVICES"]) == (odd, "")
    assert variables["LANG"] == "C.UTF-8"  # the image's own, unless something else is asked for
    assert "SOMETHING_ELSE" not in variables and "0123456789" not in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_without_roots_rights(
    file_image: tuple[str, Image], file_images: dict[str, Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who may do nothing: from a folder, since a .sif file asks for FUSE, which a site may not give."""
    monkeypatch.setenv("HOME", "/nonexistent")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # another may be closed to others
        os.chmod(name, 0o755)
        place = Place(Path(name), file_image[0], file_images["charliecloud"])
        os.chown(place.attempt, _NOBODY, _NOBODY)
        code = "import os; open('file', 'w').write(str(os.getuid())); print(open('/etc/hosts').read() != '')"
        process = place.start(place.call("python3", "-S", "-c", code), user=_NOBODY)
        assert ended(place.runtime, process) == (0, "True\n")
        assert (place.attempt / "file").read_text() == str(_NOBODY)
        assert (place.attempt / "file").stat().st_uid == _NOBODY


@pytest.mark.parametrize("code", [3, -signal.SIGKILL, -signal.SIGSEGV])
def test_exit_is_the_commands_own(place: Place, code: int) -> None:
    words = f"sys.exit({code})" if code > 0 else f"os.kill(os.getpid(), {-code})"
    assert ended(place.runtime, place.start(place.call("python3", "-S", "-c", f"import os, sys; {words}"))) == (
        code,
        "",
    )


def test_signal_reaches_the_command_once(place: Place) -> None:
    """It says how often it was asked; a helper that it leaves behind ends with the group."""
    payload = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {15});"
        "os.fork() or signal.sigwait({10}); print('ready', flush=True)\n"
        "signal.sigwait({15}); again = signal.sigtimedwait({15}, 0.3); print(2 if again else 1); sys.exit(75)"
    )
    process = place.start(place.call("python3", "-S", "-c", payload))
    assert process.stdout and process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.killpg(process.pid, signal.SIGKILL)
    assert ended(place.runtime, process) == (75, "1\n")


def test_kill_of_the_runtime_ends_the_command(place: Place) -> None:
    payload = "import signal; signal.pthread_sigmask(0, range(1, 32)); print('ready', flush=True); signal.pause()"
    process = place.start(place.call("python3", "-S", "-c", payload))
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.kill()
    assert ended(place.runtime, process) == (-signal.SIGKILL, "")  # all its ends of the pipe are closed


@pytest.mark.parametrize("missing", ["program", "image", "mount"])
def test_what_is_not_there_is_said(place: Place, missing: str) -> None:
    call = place.call("no-such-program" if missing == "program" else "true")
    if missing == "image":
        call = replace(call, image=replace(place.image, file=f"{place.image.file}-gone"))
    if missing == "mount":
        call = place.call("true", mounts=(Mount(source="/no/such/place", target="/no/such/place"),))
    host = place.runtime.wrap(call, os.environ)
    process = subprocess.run(host.command, env=host.environment, cwd=place.attempt, capture_output=True, text=True)
    found = place.runtime.diagnose(process.returncode, process.stderr)
    assert found is not None, process.stderr
    assert found.reason is Reason.START
    assert {"program": "no-such-program", "image": "-gone", "mount": "/no/such/place"}[missing] in found.message
