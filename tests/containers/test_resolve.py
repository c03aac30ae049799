"""Resolving the name of an image: it is found, or the message says what is wrong, before anything starts."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from launch.actions.container_plan import ContainerOptions, plan_containers
from launch.cli.image.named import engine_image
from launch.containers.images.catalog import find_image, load_images, recipe_hash
from launch.containers.images.engine_images import silent_engines
from launch.containers.images.listing import list_images
from launch.containers.images.request import ImageRequest
from launch.containers.images.resolve import resolve_image
from launch.errors import BackendError, LaunchError
from launch.profiles.profile import Profile
from launch.specs.choices import ENGINES
from launch.specs.image import Image
from tests.containers.engine_stand_in import ID, LABELS, EngineStandIn


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStandIn:
    """A fake docker with one image, `there:1`, and empty programs of the other runtimes."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("apptainer", "ch-run"):
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'engine'}:{programs}")
    monkeypatch.chdir(tmp_path)
    return EngineStandIn(tmp_path / "engine")


def resolved(word: str | None, runtime: str, folder: Path, **more: bool) -> Image:
    options = {"gpus": False, "convert": False, **more}
    return resolve_image(ImageRequest(word=word, runtime=runtime, runs_root=folder / "runs", **options))


def file_at(path: Path, content: bytes = b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0an image") -> str:
    path.write_bytes(content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_image_of_an_engine(engine: EngineStandIn, tmp_path: Path) -> None:
    image = resolved("there:1", "docker", tmp_path)
    assert (image.name, image.reference, image.id, image.platform) == ("there:1", ID, ID, "cpu")
    assert (image.content, image.file) == (LABELS["s5-launch.content"], None)


def test_an_image_is_known_by_the_beginning_of_its_id_that_the_list_shows(
    engine: EngineStandIn, tmp_path: Path
) -> None:
    short = ID.removeprefix("sha256:")[:12]
    assert resolved(short, "docker", tmp_path).id == ID
    assert engine_image(short, "docker").id == ID


def test_place_of_what_is_not_converted_yet(engine: EngineStandIn, tmp_path: Path) -> None:
    image = resolved("there:1", "apptainer", tmp_path)
    assert image.file == str(tmp_path / "runs/.images" / f"{LABELS['s5-launch.content'][:32]}.sif")
    assert not (tmp_path / "runs").exists()


def test_converted_image_is_found_without_an_engine(
    engine: EngineStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster no user has Docker: the file says what it was made from."""
    folder = tmp_path / "runs/.images"
    folder.mkdir(parents=True)
    (engine.folder / "docker").unlink()
    recipe = recipe_hash(find_image("cpu"))
    for name, said in (("old", "another recipe"), ("new", recipe)):
        file_at(folder / f"{name}.sif")
        image = {"name": "cpu", "reference": ID, "id": ID, "content": "c0", "platform": "cpu", "file": "/elsewhere"}
        (folder / f"{name}.sif.json").write_text(json.dumps({"image": image, "recipe": said}))
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}")
    found = resolved("cpu", "apptainer", tmp_path, convert=True)
    assert (found.file, found.id, found.content) == (str(folder / "new.sif"), ID, "c0")
    with pytest.raises(LaunchError, match="the image cuda12 is not built here, nor converted"):
        resolved("cuda12", "apptainer", tmp_path)


SILENT = "permission denied while trying to connect: dial unix %2Frun%2Fdocker.sock: connect: permission denied"


@pytest.mark.parametrize("runtime", ["docker", "apptainer"])
def test_an_engine_that_is_silent_may_hold_the_image(
    engine: EngineStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    """Another one answers and does not have it: to build it again would not help."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (engine.folder / "docker").rename(engine.folder / "podman")
    (engine.folder / "docker").write_text(f"#!/bin/sh\necho '{SILENT}' >&2\nexit 1\n")
    (engine.folder / "docker").chmod(0o755)
    with pytest.raises(BackendError, match="you may not use the Docker engine at unix:") as error:
        resolved("cpu", runtime, tmp_path)
    assert "group `docker`" in str(error.value.hint)
    silent = silent_engines(ENGINES)
    assert list(silent) == ["docker"]
    assert {each.state for each in list_images(load_images(), ENGINES, silent=silent)} == {"unknown"}
    assert resolved("there:1", "apptainer", tmp_path).id == ID


def test_file_is_known_by_its_sum(engine: EngineStandIn, tmp_path: Path) -> None:
    total = file_at(tmp_path / "s5.sif")
    image = resolved("./s5.sif", "apptainer", tmp_path)
    assert (image.id, image.file) == (total, str(tmp_path / "s5.sif"))
    assert resolved(f"s5.sif@{total}", "apptainer", tmp_path) == image
    remembered = next((tmp_path / "runs/.images").iterdir())
    remembered.write_text(remembered.read_text().replace(total, "sha256:00"))
    assert resolved("s5.sif", "apptainer", tmp_path).id == "sha256:00"  # it is not computed a second time
    other = file_at(tmp_path / "s5.sif", b"hsqs another image")
    assert resolved("s5.sif", "apptainer", tmp_path).id == other
    with pytest.raises(LaunchError, match=rf"s5.sif: its SHA-256 is {other}, not {total}"):
        resolved(f"s5.sif@{total}", "apptainer", tmp_path)


DIGEST = "sha256:" + "12" * 32


@pytest.mark.parametrize(
    ("word", "runtime", "options", "message"),
    [
        ("cupu", "docker", {}, "there is no image 'cupu'; did you mean cpu?"),
        ("cpu", "docker", {}, "the image cpu is not built here"),
        (None, "docker", {"gpus": True}, "the image cuda12 is not built here"),
        ("cpu", "charliecloud", {}, "the image cpu is not built here, nor converted"),
        ("gone:1", "docker", {}, "gone:1: docker holds no such image"),
        ("gone:1", "apptainer", {}, "gone:1: docker holds no such image"),
        (f"reg.example.org/s5@{DIGEST}", "docker", {}, "docker does not hold this image"),
        ("", "docker", {}, "the name of the image is empty"),
        ("cpu@sha256:1234", "docker", {}, "a digest is sha256: and 64 hex digits, not '1234'"),
        ("s5.sif@sha256:", "apptainer", {}, "a digest is sha256: and 64 hex digits, not ''"),
        (f"cpu@{DIGEST}", "apptainer", {}, "cpu is a name from docker/images.yaml and takes no digest"),
        ("there:1", "podman", {}, "the runtime podman needs the program podman, which is not on the PATH"),
        ("there:1", "pyxis", {}, "executes job steps of Slurm, and this profile executes on this machine"),
        ("there:1", "docker", {"gpus": True}, "ask for GPUs, and the image there:1 computes on the CPU"),
        ("there:1", "apptainer", {"gpus": True, "convert": True}, "ask for GPUs, and the image there:1 computes on"),
        ("gone.sif", "apptainer", {}, "gone.sif: there is no such image"),
        ("~no-such-user/gone.sif", "apptainer", {}, "~no-such-user/gone.sif: there is no such image"),
        ("s5.sif", "docker", {}, "s5.sif: docker executes images in its engine, not image files"),
        ("s5.sqsh", "charliecloud", {}, "charliecloud executes folders here"),
        ("./empty", "charliecloud", {}, "a folder without usr, or bin and etc, is not an image"),
        ("./empty", "apptainer", {}, "a folder without usr, or bin and etc, is not an image"),
        ("/", "apptainer", {}, "this is the machine itself"),
        ("/dev/zero", "apptainer", {}, "this is not an image"),
        ("page.sif", "apptainer", {}, "page.sif: this is not an image: neither a .sif file nor"),
        ("s5.sif", "pyxis", {"here": False}, "s5.sif: this is not an image: it has no squashfs file system"),
        ("./root", "charliecloud", {"gpus": True}, "holds no libraries of the NVIDIA driver"),
        ("./root", "pyxis", {"here": False}, "pyxis executes .sqsh files, not folders"),
        (f"./root@{DIGEST}", "charliecloud", {}, "a folder has no digest"),
    ],
)
def test_what_cannot_be_is_refused(
    engine: EngineStandIn, tmp_path: Path, word: str | None, runtime: str, options: dict[str, bool], message: str
) -> None:
    for name in ("s5.sif", "s5.sqsh"):
        file_at(tmp_path / name)
    file_at(tmp_path / "page.sif", b"<html>404 Not Found</html>")
    (tmp_path / "empty").mkdir()
    (tmp_path / "root/usr").mkdir(parents=True)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(LaunchError) as error:
        resolved(word, runtime, tmp_path, **options)
    assert message in error.value.message
    assert error.value.hint
    assert sorted(os.listdir(tmp_path)) == before


def test_an_empty_word_on_the_command_line_is_not_the_profiles_image(engine: EngineStandIn, tmp_path: Path) -> None:
    profile = Profile(name="local", runtime="docker", image="there:1")
    with pytest.raises(LaunchError, match="the name of the image is empty"):
        plan_containers(ContainerOptions(image=""), profile, [], tmp_path / "runs", gpus=False).prepare()


def test_driver_in_a_folder(engine: EngineStandIn, tmp_path: Path) -> None:
    (tmp_path / "root/usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    (tmp_path / "root/usr/lib/x86_64-linux-gnu/libcuda.so.1").touch()
    assert resolved("./root", "charliecloud", tmp_path, gpus=True).file == str(tmp_path / "root")
