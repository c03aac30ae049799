"""`launch shell` at a terminal: it starts the container of a run, with the same mounts and variables."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.actions.drive import run_queue
from launch.profiles.profile import Profile
from launch.specs.mount import parse_mount
from launch.store.state import State
from launch.store.store import Store
from tests.launch.command_sweep import code_under, command_runs, submit_runs, sweep_of

_UNTIL_S = 60
# What is mounted from this machine, one place and how a line.
MOUNTS = 'while read -r _ _ _ _ place how _; do echo "MOUNT $place ${how%%,*}"; done < /proc/self/mountinfo'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands are typed, with folders for data and caches, and a folder to mount."""
    for name in ("data", "cache", "here", "extra"):
        (tmp_path / name).mkdir()
    (tmp_path / "extra" / "word").write_text("forty-two\n")
    monkeypatch.setenv("S5_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def command(runtime: str, image: str, place: Path, *words: str) -> list[str]:
    options = ["--runtime", runtime, "--runs", str(place / "runs"), "--mount", f"{place}/extra:/extra"]
    return [sys.executable, "-m", "launch.cli", "shell", image, *options, *words]


def typed(words: list[str], text: str) -> tuple[int, str]:
    """Execute a command at a terminal, type something, and return its exit code and all that was seen."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(["setsid", "--ctty", *words], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(terminal, text.encode())
    seen, deadline = b"", time.monotonic() + _UNTIL_S
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            said = os.read(terminal, 65536)
        except OSError:  # that is how a terminal ends whose other side is closed
            break
        if not said:
            break
        seen += said
    os.close(terminal)
    return process.wait(), seen.decode(errors="replace")


def mounts(text: str) -> dict[str, str]:
    return dict(re.findall(r"^MOUNT (/\S*) (r[wo])\s*$", text, re.MULTILINE))


def test_a_person_types_in_the_container(contained: tuple[str, str], place: Path) -> None:
    text = "[ -t 0 ] && echo at a $((0))terminal; read -r word < /extra/word; echo in $PWD: $word; exit 7\n"
    code, seen = typed(command(*contained, place), text)
    assert "at a 0terminal" in seen, seen
    assert f"in {place}/here: forty-two" in seen, seen
    assert code == 7


def test_a_command_without_a_terminal_hands_its_code_through(contained: tuple[str, str], place: Path) -> None:
    done = subprocess.run(
        command(*contained, place, "--", "bash", "-c", "read -r word; echo got $word; exit 9"),
        input="this\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (9, "got this\n"), done.stderr


def test_a_shell_sees_what_a_run_sees(contained: tuple[str, str], place: Path) -> None:
    runtime, image = contained
    profile = Profile(name="local", runtime=runtime, image=image, mounts=(parse_mount(f"{place}/extra:/extra"),))
    store = Store(place / "runs")
    runs = command_runs([["bash", "-c", MOUNTS]])
    (view,) = run_queue(submit_runs(sweep_of(runs), runs, store, profile, source=code_under(place)))
    assert view.state is State.SUCCEEDED, view.message
    of_run = mounts(Path(view.run_dir, "attempts/0/log.txt").read_text())
    done = subprocess.run(
        command(runtime, image, place, "--", "bash", "-c", MOUNTS), capture_output=True, text=True, check=True
    )
    of_shell = mounts(done.stdout)
    # Beside the run's own folder and its code; whatever else of this machine lies under /tmp comes and goes.
    shared = [
        path for path in of_run if path.startswith((f"{place}/", "/extra")) and not path.startswith(str(store.root))
    ]
    assert {str(place / "data"), str(place / "cache"), "/extra"} <= {*shared}
    assert {path: of_run[path] for path in shared} == {path: of_shell.get(path) for path in shared}
    code = str(Path(__file__).parents[2])
    assert {str(place / "here"): "rw", str(store.root): "rw", code: of_run["/extra"]}.items() <= of_shell.items()
