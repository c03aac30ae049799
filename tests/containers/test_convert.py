"""Conversion of images: two at the same time convert once, a kill is repaired, a full disk is an error."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch.containers.images.convert import Form, convert, lock_of, place_of, read_origin
from launch.containers.images.converters import Conversion
from launch.errors import LaunchError
from launch.specs.image import Image
from launch.store import processes
from tests.containers.engine_stand_in import ID, EngineStandIn
from tests.engines.daemon import wait_until

IMAGE = Image(name="cpu", reference=ID, id=ID, content="cd" * 32)
PROCESS = """
from pathlib import Path
from launch.errors import LaunchError
from launch.specs.image import Image
from launch.containers.images.convert import Form, convert
said = lambda line: print(line, flush=True)
try:
    image = Image(name="cpu", reference={id!r}, id={id!r}, content={content!r})
    said(convert(image, Form.FOLDER, Path({runs!r}), say=said))
except LaunchError as error:
    said(f"{{error.message}} | {{error.hint}}")
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStandIn:
    monkeypatch.setenv("PATH", f"{tmp_path / 'engine'}:{os.environ['PATH']}")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("APPTAINER_TMPDIR", str(tmp_path / "tmp"))
    return EngineStandIn(tmp_path / "engine")


def start(runs: Path, *before: str, **variables: str) -> subprocess.Popen[str]:
    code = PROCESS.format(id=ID, content=IMAGE.content, runs=str(runs))
    return subprocess.Popen(
        [*before, sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left(runs: Path) -> list[str]:
    """Return the files besides the result that a conversion left, here and in its work folder."""
    place = place_of(IMAGE, Form.FOLDER, runs)
    there = {path.name for path in place.parent.iterdir()} if place.parent.exists() else set[str]()
    return sorted(there - {place.name, f"{place.name}.json"}) + os.listdir(os.environ["APPTAINER_TMPDIR"])


def test_folder_for_charliecloud(engine: EngineStandIn, tmp_path: Path) -> None:
    place = convert(IMAGE, Form.FOLDER, tmp_path / "runs", recipe="r1")
    assert (place / "usr/bin/python").stat().st_size == 100
    assert (place / "ch/environment").read_text() == "PATH=/opt/venv/bin:/usr/bin\nLANG=C.UTF-8\n"
    assert all((place / name).is_dir() for name in ("dev", "proc", "sys", "tmp"))
    origin = read_origin(place)
    assert origin is not None
    assert (origin.image.id, origin.image.file, origin.recipe) == (ID, str(place), "r1")
    asked = len(engine.asked)
    assert convert(IMAGE, Form.FOLDER, tmp_path / "runs") == place
    assert len(engine.asked) == asked
    assert left(tmp_path / "runs") == []


def test_two_at_once(engine: EngineStandIn, tmp_path: Path) -> None:
    engine.hold()
    first = start(tmp_path / "runs")
    assert wait_until(lambda: "export" in engine.asked, 20)
    second = start(tmp_path / "runs")
    assert second.stdout
    assert "another process is converting this image; waiting" in second.stdout.readline()
    engine.hold(False)
    place = str(place_of(IMAGE, Form.FOLDER, tmp_path / "runs"))
    assert [process.communicate(timeout=30)[0].splitlines()[-1] for process in (first, second)] == [place, place]
    assert engine.asked.count("export") == 1
    assert left(tmp_path / "runs") == []


@pytest.mark.parametrize("point", ["export", "convert.made"])
def test_kill_leaves_nothing_half(engine: EngineStandIn, tmp_path: Path, point: str) -> None:
    runs, place = tmp_path / "runs", place_of(IMAGE, Form.FOLDER, tmp_path / "runs")
    if point == "export":
        engine.hold()
        killed = start(runs)
        assert wait_until(lambda: "export" in engine.asked, 20)
        killed.kill()
    else:
        killed = start(runs, LAUNCH_FAULT=point)
    killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL
    assert not place.exists()
    assert left(runs)
    if point == "export":
        engine.hold(False)
    assert convert(IMAGE, Form.FOLDER, runs) == place
    assert left(runs) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_stop_leaves_nothing(engine: EngineStandIn, tmp_path: Path, number: signal.Signals) -> None:
    engine.hold()
    stopped = start(tmp_path / "runs")
    assert wait_until(lambda: "export" in engine.asked, 20)
    stopped.send_signal(number)
    stopped.communicate(timeout=30)
    assert stopped.returncode == -number
    assert left(tmp_path / "runs") == []
    assert engine.asked[-1] == "rm"  # the container that held the files


def test_too_little_room_is_found_first(engine: EngineStandIn, tmp_path: Path) -> None:
    engine.describe(size=10**15)
    with pytest.raises(
        LaunchError, match=r"too little room to convert an image of 953674316 MiB: .* MiB are free"
    ) as e:
        convert(IMAGE, Form.FOLDER, tmp_path / "runs")
    assert e.value.hint and "free some space" in e.value.hint
    assert "export" not in engine.asked
    assert left(tmp_path / "runs") == []


@pytest.mark.parametrize("full", ["runs", "tmp"])
def test_disk_that_fills(engine: EngineStandIn, tmp_path: Path, full: str) -> None:
    """The engine says that the image is small, and it is larger than one of the disks, which has a namespace's life."""
    (tmp_path / "runs").mkdir()
    disk, unshare = tmp_path / full, [shutil.which("unshare") or "unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=1m tmpfs {disk}"
    if subprocess.run([*unshare, mount], capture_output=True).returncode:
        pytest.skip("needs `unshare --map-root-user --mount`, with which a small disk of its own is made")
    process = start(tmp_path / "runs", *unshare, f'{mount}; "$@"; find {disk} -mindepth 1', "sh")
    said, _ = process.communicate(timeout=60)
    lines = said.splitlines()
    message = next(line for line in lines if "cannot be converted" in line)
    assert ("Wrote only" if full == "runs" else "No space left on device") in message
    assert "| a disk is full: free some space under " in message
    assert lines[lines.index(message) + 1 :] == ([f"{disk}/.images"] if full == "runs" else [])


def test_engine_that_fails(engine: EngineStandIn, tmp_path: Path) -> None:
    (engine.folder / "broken").touch()
    with pytest.raises(LaunchError, match="cannot be converted: docker: Error response from daemon: layer does not"):
        convert(IMAGE, Form.FOLDER, tmp_path / "runs")
    assert left(tmp_path / "runs") == []


def test_what_a_program_complains_of_is_told_without_its_colours(tmp_path: Path) -> None:
    maker = Conversion(image=IMAGE, held=None, scratch=tmp_path, say=print, heartbeat=lambda: None)
    words = r"printf '\033[31mFATAL:   \033[0m While building: MANIFEST UNKNOWN\nINFO:    bye\n'; exit 255"
    with pytest.raises(LaunchError) as caught:
        maker.run(["sh", "-c", words])
    assert caught.value.message == "the image cpu cannot be converted: sh: While building: MANIFEST UNKNOWN"
    assert "is its digest the one" in (caught.value.hint or "")


def test_program_that_is_not_here(engine: EngineStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(engine.folder))
    with pytest.raises(LaunchError, match="apptainer is not on the PATH"):
        convert(IMAGE, Form.SIF, tmp_path / "runs")


def test_image_that_no_engine_holds(engine: EngineStandIn, tmp_path: Path) -> None:
    other = Image(name="cpu", reference="sha256:99", id="sha256:" + "9" * 64)
    with pytest.raises(LaunchError, match="no engine here holds the image cpu"):
        convert(other, Form.FOLDER, tmp_path / "runs")
    assert left(tmp_path / "runs") == []


def test_machines_without_common_locks_convert_apart(
    engine: EngineStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines whose file system has no locks between them: both convert, and one copy remains."""
    runs = tmp_path / "runs"
    engine.hold()
    first = start(runs)
    assert wait_until(lambda: "export" in engine.asked, 20)
    lock_of(place_of(IMAGE, Form.FOLDER, runs)).unlink()  # another machine would not see who holds it
    monkeypatch.setattr(processes, "host", lambda: "elsewhere")
    monkeypatch.setenv("APPTAINER_TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "elsewhere").mkdir()
    with monkeypatch.context() as there:
        there.setenv("APPTAINER_TMPDIR", str(tmp_path / "elsewhere"))
        engine.hold(False)
        place = convert(IMAGE, Form.FOLDER, runs)
    assert first.communicate(timeout=30)[0].splitlines()[-1] == str(place)
    assert (place / "usr/bin/python").stat().st_size == 100
    assert engine.asked.count("export") == 2
    assert left(runs) == []
