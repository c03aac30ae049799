"""The mounts of containers, which are checked before anything starts."""

from pathlib import Path

import pytest

from launch.actions.container_plan import ContainerOptions, plan_containers
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.specs.image import Image
from launch.specs.mount import Mount, outermost_first, parse_mount


def found(*_: object, **__: object) -> Image:
    return Image(name="x", reference="x")


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/opt", "/opt/venv/lib", "/opt/s5-launch", "/usr", "/usr/lib", "/usr/local", "/usr/local/bin"),
        *("/usr/local/lib/python3.11", "/usr/share", "/etc/passwd", "/dev/shm", "/lib64", "/tmp"),
    ],
)
def test_what_would_hide_the_image_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"belongs to the image|temporary files"):
        parse_mount(f"/data:{target}")


@pytest.mark.parametrize("target", ["/data", "/opt/models", "/usr/local/bin/python", "/usr/share/fonts", "/tmp/x"])
def test_what_hides_nothing_is_taken(target: str) -> None:
    assert parse_mount(f"/data:{target}") == Mount(source="/data", target=target)


def test_outer_mounts_come_first() -> None:
    inner, outer = Mount(source="/a", target="/d/e"), Mount(source="/b", target="/d")
    assert outermost_first([inner, outer]) == (outer, inner)


@pytest.mark.parametrize(
    ("mounts", "message"),
    [
        (["{here}/source:{here}"], "overlaps the folder of the runs"),
        (["{here}/source:{here}/runs/x"], "overlaps the folder of the runs"),
        (["{here}/source:{here}/data"], "the runs need their data or caches at {here}/data"),
        (["{here}/source:/d", "{here}/data:/d/e"], "there is no folder {here}/source/e"),
        (["{here}/source:/d", "{here}/data:/d/file"], "there is no folder {here}/source/file"),
        (["{here}/source:/d", "{here}/source/file:/d/folder"], "there is no file {here}/source/folder"),
    ],
)
def test_mounts_in_the_way_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: list[str], message: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("launch.containers.images.resolve.resolve_image", found)
    for folder in ("source/folder", "data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "source/file").touch()
    options = ContainerOptions(runtime="docker", mounts=tuple(word.format(here=tmp_path) for word in mounts))
    configs = [{"data": {"root": str(tmp_path / "data"), "cache": str(tmp_path / "cache")}}]
    with pytest.raises(LaunchError) as caught:
        plan_containers(options, Profile(name="local"), configs, tmp_path / "runs", gpus=False).prepare()
    assert message.format(here=tmp_path) in caught.value.message


def test_what_a_runtime_cannot_do_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("launch.containers.images.resolve.resolve_image", found)
    profile, options = Profile(name="local"), ContainerOptions(runtime="charliecloud", mounts=(f"{tmp_path}:/d",))
    with pytest.raises(LaunchError, match="charliecloud cannot mount a path with ':' in it"):
        plan_containers(options, profile, [], tmp_path / "a:b", gpus=False).prepare()
    (warning,) = plan_containers(options, profile, [], tmp_path / "runs", gpus=False).warnings
    assert f"{tmp_path} can be written" in warning
    with pytest.raises(LaunchError, match=r"unknown runtime 'dockr'; did you mean docker\?"):
        plan_containers(ContainerOptions(runtime="dockr"), profile, [], tmp_path / "runs", gpus=False).prepare()


@pytest.mark.parametrize("on_path", [True, False], ids=["with docker", "without docker"])
def test_a_profile_that_names_no_image_of_ours_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    if not on_path:
        monkeypatch.setenv("PATH", str(tmp_path))
    profile = Profile(name="x", runtime="docker", image="cpuu", file="slurm/x.yaml")
    with pytest.raises(LaunchError, match=r"^slurm/x\.yaml: image: .*cpuu"):
        plan_containers(ContainerOptions(), profile, [], tmp_path, gpus=False).prepare()
    (obstacle,) = plan_containers(ContainerOptions(), profile, [], tmp_path, gpus=False).obstacles
    assert obstacle.message.startswith("slurm/x.yaml: image: ")


def test_a_dry_run_names_everything_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    options = ContainerOptions(runtime="charliecloud", mounts=(f"{tmp_path}/nowhere:/d",))
    found = plan_containers(options, Profile(name="local"), [], tmp_path / "a:b", gpus=False)
    told = "\n".join(obstacle.message for obstacle in found.obstacles)
    assert "nowhere: no such file or folder" in told
    assert "the runtime charliecloud needs the program ch-run" in told
    assert "charliecloud cannot mount a path with ':' in it" in told
    assert not (tmp_path / "cache").exists()
