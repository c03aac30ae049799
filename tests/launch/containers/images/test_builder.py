"""The program that builds images, what is missing if there is no such program, and command lines without secrets."""

import shutil
import sys
from pathlib import Path

import pytest

from launch.containers.images.build import build_command
from launch.containers.images.build_context import context_folder, stage
from launch.containers.images.builder import Builder, find_builder
from launch.containers.images.catalog import find_image
from launch.containers.images.package_index import index_secrets, pip_settings
from launch.errors import BackendError, LaunchError

_PROGRAM = """#!{python} -S
import sys
words = " ".join(sys.argv[1:])
answers = {answers!r}
for asked, (code, said) in answers.items():
    if words.startswith(asked):
        print(said, file=sys.stderr if code else sys.stdout)
        sys.exit(code)
sys.exit("unknown: " + words)
"""
NO_PLUGIN = {"buildx": (1, "docker: 'buildx' is not a docker command"), "--version": (0, "Docker version 28.2.2")}
OLD = {"buildx": (1, ""), "--version": (0, "Docker version 20.10.24+dfsg1, build 1"), "version": (0, "20.10.24")}


def put(folder: Path, name: str, answers: dict[str, tuple[int, str]]) -> str:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(_PROGRAM.format(python=sys.executable, answers=answers))
    program.chmod(0o755)
    return str(folder)


def test_nobody_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="neither docker nor podman is on the PATH") as caught:
        find_builder()
    assert "apt-get install docker.io" in str(caught.value.hint)
    with pytest.raises(LaunchError, match="podman is not on the PATH"):
        find_builder("podman")


def test_a_new_docker_without_its_plugin_cannot_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", put(tmp_path, "docker", NO_PLUGIN))
    with pytest.raises(LaunchError, match=r"docker 28\.2\.2 cannot build this image: its plugin buildx") as caught:
        find_builder()
    assert "--builder podman" in str(caught.value.hint)


def test_an_older_docker_behind_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = put(tmp_path / "new", "docker", NO_PLUGIN), put(tmp_path / "old", "docker", OLD)
    unreadable = "/" + "x" * 300  # the system refuses to look there, as where one may not enter
    monkeypatch.setenv("PATH", f"{unreadable}:{first}:{second}")
    found = find_builder()
    assert found.words == (f"{second}/docker", "build")
    assert found.variables == {"DOCKER_BUILDKIT": "1"}


def test_the_plugin_is_taken_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"buildx": (0, "buildx 0.20"), "version": (0, "28.2.2")}
    monkeypatch.setenv("PATH", put(tmp_path, "docker", answers))
    assert find_builder().words[1:] == ("buildx", "build", "--load")


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            "Got permission denied: Permission denied /var/run/docker.sock",
            "you may not use the Docker",
            "group `docker`",
        ),
        ("dial unix /var/run/docker.sock: connect: no such file or directory", "no Docker engine answers", "start it"),
    ],
)
def test_an_engine_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str, hint: str
) -> None:
    monkeypatch.setenv("PATH", put(tmp_path, "docker", {**OLD, "version": (1, said)}))
    with pytest.raises(BackendError, match=message) as caught:
        find_builder()
    assert hint in str(caught.value.hint)


def test_a_command_line_tells_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy:3128")
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = https://me:hunter2@index.example/simple\n")
    builder = Builder(engine="docker", words=("docker", "build"))
    with index_secrets(conf) as secrets:
        words = build_command(find_image("cpu"), "python:3.11", builder, "host", secrets)
        assert secrets["pip_conf"].read_text() == conf.read_text()
        assert secrets["pip_conf"].stat().st_mode & 0o777 == 0o600
    assert not secrets["pip_conf"].exists()
    assert "hunter2" not in " ".join(words)
    assert "--build-arg=HTTPS_PROXY" in words
    assert "--network=host" in words
    assert "--build-arg=HTTPS_PROXY" not in build_command(find_image("cpu"), "python", builder, "none", {})


def test_settings_that_hold_on_this_machine_alone_stay_here(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://index.example/simple\nextra-index-url = file:///opt/example https://b.example/simple\n"
        "constraint = /etc/constraints.txt\ntarget = /here\n"
    )
    found = pip_settings({"PIP_CONFIG_FILE": str(conf), "PIP_DEFAULT_TIMEOUT": "7", "HOME": str(tmp_path)})
    assert found["index-url"] == "https://index.example/simple"
    assert found["extra-index-url"] == "https://b.example/simple"
    assert found["timeout"] == "7"
    assert not {"constraint", "target", "find-links"} & set(found)


@pytest.mark.parametrize("option", ["pip_conf", "ca_bundle"])
def test_a_file_that_is_not_there(tmp_path: Path, option: str) -> None:
    with pytest.raises(LaunchError, match="nowhere: no such file"), index_secrets(**{option: tmp_path / "nowhere"}):
        pass


def code(folder: Path) -> Path:
    for name in ("s5/__init__.py", "launch/__init__.py", "LICENSE", "runs/x/log.txt", "s5/token.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def test_a_build_sees_the_code_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    source = code(tmp_path / "source")
    notices = stage(find_image("cpu"), source, tmp_path / "context")
    seen = {path.relative_to(tmp_path / "context").as_posix() for path in (tmp_path / "context").rglob("*.*")}
    assert "s5/__init__.py" in seen
    assert not {name for name in seen if "log.txt" in name or "token" in name}
    assert any("s5/token.json looks like a secret" in notice for notice in notices)


def test_the_next_build_sees_today_s_code_and_only_what_changed_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, spec = code(tmp_path / "source"), find_image("cpu")
    (source / "s5/gone").mkdir()
    (source / "s5/gone/old.py").write_text("1")
    with context_folder("cpu", keep=True) as first:
        stage(spec, source, first)
        before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
        with context_folder("cpu", keep=True) as second:
            assert second != first
        assert not second.exists()
    shutil.rmtree(source / "s5/gone")
    (source / "s5/gone").write_text("")  # now a file
    (source / "s5/__init__.py").write_text("2")
    (source / "launch/new.py").write_text("")
    (first / "launch/planted.py").write_text("")
    (first / "s5/link.py").symlink_to("/etc/hostname")
    with context_folder("cpu", keep=True) as again:
        assert again == first
        stage(spec, source, again)
    after = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    assert {path.relative_to(first).as_posix() for path in before.keys() ^ after.keys()} == {
        "s5/gone/old.py",
        "s5/gone",
        "launch/new.py",
    }
    written = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    assert written == {first / "s5/__init__.py"}
    assert (first / "s5/__init__.py").read_text() == "2"


def test_what_another_user_left_in_the_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo launch image build` leaves folders in the user's cache that are root's."""
    (tmp_path / "context").mkdir()

    def refuse(path: Path, mode) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(LaunchError, match="context: cannot be used: Operation not permitted") as caught:
        stage(find_image("cpu"), code(tmp_path / "source"), tmp_path / "context")
    assert caught.value.hint == f"remove {tmp_path}/context; it is made again"


def test_a_wheel_that_is_missing_is_named_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "wheels").mkdir()
    with pytest.raises(
        LaunchError, match=r"wheels: these packages are missing: pip==\S+, setuptools==\S+, .* and \d+ more"
    ) as caught:
        stage(find_image("cpu"), code(tmp_path / "source"), tmp_path / "context", tmp_path / "wheels")
    assert "pip download --no-deps --require-hashes -r build.txt -r cpu.txt" in str(caught.value.hint)
