"""Images that a real engine builds: what is rebuilt, what they contain and must not contain, also without network."""

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from launch.checks.image import check_image
from launch.cli import main
from launch.containers.images.build import BuildOptions, build
from launch.containers.images.catalog import ImageSpec, content_hash, find_image
from launch.containers.images.engine_images import EngineImage, find_engine_image
from launch.containers.images.listing import ABSENT, BUILT, EARLIER, list_images
from launch.containers.images.package_index import index_secrets
from launch.containers.images.registry import pull, push
from launch.errors import LaunchError
from tests.engines.docker import BASE, Docker, EngineError

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-the-password"
TINY = ("model.n_layers=1", "model.d_model=8", "model.d_state=8", "model.n_blocks=1", "train.epochs=1")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ImageSpec:
    """An image with one small package, built with the common Dockerfile."""
    lock = tmp_path_factory.mktemp("tiny") / "tiny.txt"
    lock.write_text(_pin("iniconfig"))
    return ImageSpec(name="tiny", base=BASE, lock=lock, platform="cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code that a test may change."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("s5", "launch"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "LICENSE", folder)
    return folder


@pytest.fixture(scope="module")
def built(
    docker_engine: Docker, tiny: ImageSpec, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> EngineImage:
    """The small image, built with secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    conf, bundle = folder / "pip.conf", folder / "ca.crt"
    with index_secrets() as ours:
        conf.write_text(f"{ours['pip_conf'].read_text()}\n# {SECRET}\n")
        bundle.write_text(f"{ours['ca_bundle'].read_text()}\n# {SECRET}\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in docker_engine.environment.items():
            patch.setenv(name, value)
        return build(tiny, BuildOptions(pip_conf=conf, ca_bundle=bundle), source=source)


@pytest.fixture
def small(docker: Docker, tmp_path: Path) -> EngineImage:
    """An image of one file, with our labels, which an engine pushes and pulls quickly."""
    layer = tmp_path / "small.tar"
    with tarfile.open(layer, "w") as tar:
        entry = tarfile.TarInfo("secret")
        entry.size = len(SECRET)
        tar.addfile(entry, io.BytesIO(SECRET.encode()))
    docker.call("import", "-c", f"LABEL s5-launch.content={'c' * 64}", str(layer), "small:1")
    held = find_engine_image("small:1", ("docker",))
    assert held is not None
    return held


def _pin(package: str) -> str:
    """Return the lines of the development lock that pin a package."""
    text = (ROOT / "docker/locks/dev.txt").read_text()
    found = re.search(rf"^{package}==.*?(?=\n    # via|\n[a-z])", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[0] + "\n"


def _ends_of_steps(said: str) -> dict[str, str]:
    """Return how each step of the Dockerfile ended, CACHED or DONE, from the build's plain output."""
    steps = dict(re.findall(r"^(#\d+) (\[\S+ +\d+/\d+\] (?:RUN|COPY|WORKDIR).*)$", said, re.MULTILINE))
    ends = dict(re.findall(r"^(#\d+) (CACHED|DONE)", said, re.MULTILINE))
    return {step: ends.get(number, "") for number, step in steps.items()}


def _layers(docker: Docker, held: EngineImage) -> list[str]:
    return json.loads(docker.call("image", "inspect", "--format", "{{json .RootFS.Layers}}", held.id))


def test_a_touched_source_file_leaves_the_packages_alone(
    docker: Docker, tiny: ImageSpec, source: Path, built: EngineImage, capfd: pytest.CaptureFixture[str]
) -> None:
    (source / "s5" / "touched.py").write_text('"""New."""\n')
    again = build(tiny, BuildOptions(), source=source)
    ends = _ends_of_steps(capfd.readouterr().err)
    assert {end for step, end in ends.items() if "COPY s5" not in step and "COPY launch" not in step} == {"CACHED"}
    assert [end for step, end in ends.items() if "COPY s5" in step] == ["DONE"]
    first, second = _layers(docker, built), _layers(docker, again)
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]
    assert again.content == built.content


def test_nothing_secret_is_in_an_image(docker: Docker, built: EngineImage, tmp_path: Path) -> None:
    saved = tmp_path / "image.tar"
    docker.call("save", "--output", str(saved), built.id)
    assert SECRET.encode() not in saved.read_bytes()
    assert SECRET not in docker.call("history", "--no-trunc", built.id)
    assert SECRET not in docker.call("image", "inspect", built.id)


def test_a_secret_in_a_layer_would_be_found(docker: Docker, small: EngineImage, tmp_path: Path) -> None:
    """The search above reads what it must."""
    docker.call("save", "--output", str(tmp_path / "image.tar"), small.id)
    assert SECRET.encode() in (tmp_path / "image.tar").read_bytes()


def test_an_image_says_what_it_is(docker: Docker, tiny: ImageSpec, built: EngineImage) -> None:
    labels = built.labels
    assert labels["s5-launch.name"] == "tiny"
    assert labels["s5-launch.platform"] == "cpu"
    base = labels["org.opencontainers.image.base.name"]
    assert base.partition("sha256:")[2]
    assert labels["s5-launch.content"] == content_hash(replace(tiny, base=base)) == built.content
    assert {"s5-launch.recipe", "s5-launch.lock"} < set(labels)
    config = json.loads(docker.call("image", "inspect", "--format", "{{json .Config}}", built.id))
    assert config["User"] == "1000:1000"
    tools = "ls /opt/venv/bin; which gcc make"
    listed = docker.call("run", "--rm", "--network=none", "--entrypoint=sh", built.id, "-c", tools, check=False)
    assert "pip" not in listed.split()
    assert not {"gcc", "make"} & set(listed.split("/"))


def test_the_list_tells_a_build_of_today_from_an_earlier_one(
    docker: Docker, tiny: ImageSpec, built: EngineImage, tmp_path: Path
) -> None:
    (tmp_path / "other.txt").write_text(tiny.lock.read_text() + "# refreshed\n")
    specs = {"tiny": tiny, "new": replace(tiny, name="new")}
    assert [each.state for each in list_images(specs, ("docker",))] == [BUILT, ABSENT]
    touched = replace(tiny, lock=tmp_path / "other.txt")
    assert [each.state for each in list_images({"tiny": touched}, ("docker",))] == [EARLIER]


def test_without_network_packages_come_from_a_folder(
    docker: Docker, tiny: ImageSpec, source: Path, built: EngineImage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wheels = tmp_path / "wheels"
    locks = ("-r", str(tiny.build_lock), "-r", str(tiny.lock))
    words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", *locks, "-d", str(wheels)]
    subprocess.run(words, check=True, capture_output=True)
    held = build(tiny, BuildOptions(wheels=wheels), source=source)
    assert "--find-links" in capfd.readouterr().err
    assert held.content == built.content
    packages = "/opt/venv/lib/python3.11/site-packages"
    assert "iniconfig" in docker.call("run", "--rm", "--network=none", "--entrypoint=ls", held.id, packages)


def test_a_base_that_is_not_here_stops_a_build_without_network(docker: Docker, tiny: ImageSpec, source: Path) -> None:
    with pytest.raises(LaunchError, match="docker does not hold the base nowhere/base:1") as caught:
        build(tiny, BuildOptions(base="nowhere/base:1", network="none"), source=source)
    assert "--base" in str(caught.value.hint)


def test_a_build_that_fails_says_whose_words_to_read(
    docker: Docker, tiny: ImageSpec, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "wrong.txt"
    lock.write_text(re.sub(r"sha256:\w{64}", f"sha256:{'0' * 64}", tiny.lock.read_text()))
    with pytest.raises(LaunchError, match="docker could not build tiny; its output above says why"):
        build(replace(tiny, lock=lock), BuildOptions(), source=source)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err


def test_an_image_travels_by_its_digest(docker: Docker, small: EngineImage) -> None:
    repository = f"{docker.start_registry()}/group/s5"
    name = push(small, repository)
    assert re.fullmatch(rf"{repository}@sha256:[0-9a-f]{{64}}", name)
    docker.call("image", "rm", "small:1", name, f"{repository}:{'c' * 12}")
    assert find_engine_image(name, ("docker",)) is None
    pulled = pull(name, "docker")
    assert (pulled.id, pulled.content) == (small.id, small.content)
    wrong = f"{repository}@sha256:{'0' * 64}"
    with pytest.raises(LaunchError, match="the registry has no such image"):
        pull(wrong, "docker")
    with pytest.raises(LaunchError, match=r"127\.0\.0\.1:9"):  # no process listens there
        push(pulled, "127.0.0.1:9/group/s5")
    docker.call("tag", pulled.id, "small:2")
    with pytest.raises(LaunchError, match=r"127\.0\.0\.1:9"):
        push(small, "127.0.0.1:9/group/other")
    assert find_engine_image(f"127.0.0.1:9/group/other:{'c' * 12}", ("docker",)) is None
    with pytest.raises(LaunchError, match="cannot be the name of a repository"):
        push(small, f"{repository}:latest")


def test_the_cpu_image_trains_as_anyone_on_a_read_only_root_without_network(
    docker: Docker, cpu_image: EngineImage, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.chown(runs, 1234, 1234)
    options = ["--rm", "--read-only", "--network=none", "--user=1234:1234", "--cap-drop=ALL", f"--volume={runs}:/runs"]
    said = docker.call("run", *options, cpu_image.id, "experiment=digits/s5", *TINY)
    assert "test/accuracy" in said
    (result,) = runs.glob("_single/*/result.json")
    assert result.stat().st_uid == 1234
    assert "test/accuracy" in json.loads(result.read_text())["metrics"]


def test_the_cpu_image_passes_its_check(
    docker: Docker, cpu_image: EngineImage, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = {check.name: check for check in check_image(cpu_image)}
    assert checks["platform"].message == "cpu: cpu"
    assert "one step of a tiny model" in checks["training"].message
    assert main(["image", "list"]) == 0
    assert re.search(r"^cpu +built +cpu ", capsys.readouterr().out, re.MULTILINE)


def test_an_image_that_cannot_execute_fails_its_check(docker: Docker) -> None:
    held = find_engine_image(BASE, ("docker",))
    assert held is not None
    with pytest.raises(LaunchError, match="nothing can be executed in the image"):
        list(check_image(held))


@pytest.mark.parametrize("name", ["cpu"])
def test_a_convenient_name_points_to_the_newest(docker: Docker, cpu_image: EngineImage, name: str) -> None:
    found = find_engine_image(f"s5-launch/{name}:latest", ("docker",))
    assert found is not None
    assert found.id == cpu_image.id
    assert find_image(name).name == name
    with pytest.raises(EngineError):
        docker.call("image", "inspect", f"s5-launch/{name}:nothing")
