import os
import resource
from pathlib import Path

import pytest

from launch.checks import runtimes as checks
from launch.checks.check import Check, Level
from launch.profiles.profile import Profile
from tests.launch.checks.test_doctor import by_name, executable


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, the only one on the path; this user is an ordinary one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(checks.os, "getuid", lambda: 1000)
    monkeypatch.setattr(checks, "_user", lambda: "ann")
    return folder


def examined(runs: Path, **profile: str) -> dict[str, Check]:
    return by_name(checks.examine_runtimes(runs, Profile(name="x", **profile)))


def test_nothing_here_is_no_failure(programs: Path, tmp_path: Path) -> None:
    found = examined(tmp_path / "runs")
    assert [check.level for check in found.values()] == [Level.OK]
    assert found["runtimes"].message.startswith("not here: docker, podman, apptainer, charliecloud, pyxis")


def test_profile_that_names_what_is_not_here(programs: Path, tmp_path: Path) -> None:
    local, cluster = (examined(tmp_path, runtime="apptainer", backend=name)["apptainer"] for name in ("local", "slurm"))
    assert (local.level, cluster.level) == (Level.FAIL, Level.WARN)
    assert "module load apptainer" in (cluster.advice or "")
    assert examined(tmp_path, runtime="pyxis", backend="slurm")["pyxis"].level is Level.FAIL


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("permission denied while trying to connect to the Docker daemon socket", "usermod -aG docker ann"),
        ('unable to resolve docker endpoint: context "nope": context not found', "docker context use default"),
        ("unable to resolve docker endpoint: open /home/ann/.docker/ca.pem: no such file", "DOCKER_CERT_PATH"),
        ("error during connect: stderr=ssh: Could not resolve hostname x", "can `ssh` reach it"),
        ("error during connect: stderr=ann@far: Permission denied (publickey)", "can `ssh` reach it"),
        ("error during connect: context deadline exceeded", "systemctl start docker"),
        ("Cannot connect to the Docker daemon at unix:///x", "systemctl start docker"),
    ],
)
def test_engine_that_does_not_answer(programs: Path, tmp_path: Path, said: str, advice: str) -> None:
    executable(programs, "docker", f"echo '{said}' >&2; exit 1")
    for runtime, level in (("bare", Level.WARN), ("docker", Level.FAIL)):
        check = examined(tmp_path, runtime=runtime)["docker"]
        assert check.level is level
        assert said in check.message and advice in (check.advice or "")


def test_engine_that_answers(programs: Path, tmp_path: Path) -> None:
    executable(programs, "docker", "echo 29.1.3")
    executable(programs, "nvidia-smi", "echo 570.86.15")
    assert examined(tmp_path)["docker"].message == (
        "the engine 29.1.3 answers; without NVIDIA's container toolkit it hands out no GPUs"
    )
    executable(programs, "nvidia-ctk", "exit 0")
    assert "it can hand out GPUs" in examined(tmp_path)["docker"].message


def test_podman_needs_subordinate_users(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(programs, "podman", "echo 4.3.1")
    monkeypatch.setattr(checks, "_SUBORDINATE", tmp_path / "subuid")
    check = examined(tmp_path)["podman"]
    assert check.level is Level.WARN and "--add-subuids" in (check.advice or "")
    (tmp_path / "subuid").write_text("bob:1:2\nann:100000:65536\n")
    check = examined(tmp_path)["podman"]
    assert check.level is Level.WARN and "newuidmap" in check.message
    executable(programs, "newuidmap", "")
    assert examined(tmp_path)["podman"].level is Level.OK


STARTS = 'for word; do last=$word; done; echo "FATAL:   stat $last: no such file or directory" >&2; exit 255'
NO_NAMESPACES = (
    r"printf 'INFO   :   apptainer-suid, or compile with ./mconfig --with-suid\n' >&2; "
    r"printf '\033[91mERROR  : Failed to create user namespace: maximum number exceeded\n\033[0m' >&2; exit 1"
)


@pytest.mark.parametrize(
    ("version", "trial", "fuse", "squashfuse", "level", "said"),
    [
        ("1.4.5", STARTS, True, True, Level.OK, "1.4.5"),
        ("1.0.3", STARTS, True, True, Level.FAIL, "is too old: 1.1 is needed"),
        ("1.4.5", STARTS, False, True, Level.FAIL, "no access to /dev/fuse"),
        ("1.4.5", STARTS, True, False, Level.WARN, "without squashfuse a .sif file is unpacked again"),
        ("1.4.5", NO_NAMESPACES, False, True, Level.FAIL, "1.4.5; it starts no container: Failed to create user name"),
        ("1.4.5", "exit 1", True, True, Level.FAIL, "it starts no container: it printed nothing"),
    ],
)
def test_apptainer(
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    trial: str,
    fuse: bool,
    squashfuse: bool,
    level: Level,
    said: str,
) -> None:
    executable(
        programs, "apptainer", f'if [ "$1" = --version ]; then echo apptainer version {version}; exit; fi; {trial}'
    )
    monkeypatch.setattr(checks, "_APPTAINER_PATH", "/nowhere")
    if squashfuse:
        executable(programs, "squashfuse_ll", "")
    access = os.access
    monkeypatch.setattr(checks.os, "access", lambda path, mode: fuse if path == "/dev/fuse" else access(path, mode))
    check = checks.check_apptainer()
    assert check is not None and check.level is level
    assert said in check.message and "\033" not in check.message
    assert (check.advice is None) == (level is Level.OK)


def test_apptainer_that_cannot_say_its_version(programs: Path) -> None:
    executable(programs, "apptainer", r"printf '\033[31mFATAL:  \033[0m While initializing: no config\n' >&2; exit 255")
    check = checks.check_apptainer()
    assert check is not None and check.level is Level.FAIL
    assert check.message == "it fails: While initializing: no config"
    assert check.advice == "`apptainer --version` says more"


@pytest.mark.parametrize(("trial", "level"), [(STARTS, Level.OK), ("echo no >&2; exit 1", Level.FAIL)])
def test_charliecloud_starts_a_container(programs: Path, trial: str, level: Level) -> None:
    executable(programs, "ch-run", f'if [ "$1" = --version ]; then echo 0.31 >&2; exit; fi; {trial}')
    check = checks.check_charliecloud()
    assert check is not None and check.level is level and check.message.startswith("0.31")


def test_pyxis_is_known_by_its_options(programs: Path) -> None:
    executable(programs, "srun", "echo '  -n, --ntasks=ntasks'")
    assert checks.check_pyxis() is None
    executable(programs, "srun", "echo '      --container-image=[USER@][REGISTRY#]IMAGE[:TAG]|PATH'")
    check = checks.check_pyxis()
    assert check is not None and check.level is Level.OK


def test_driver_is_held_against_every_image(programs: Path) -> None:
    executable(programs, "nvidia-smi", "echo 550.54.15")
    found = by_name(checks.check_images())
    assert {name: check.level for name, check in found.items()} == {
        "image cuda12": Level.OK,
        "image cuda13": Level.WARN,
    }
    assert found["image cuda13"].message == "the driver 550 is too old: 580 is needed"
    assert found["image cuda13"].advice == "use cuda12, or update the driver"


def test_locked_memory(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.resource, "getrlimit", lambda _: (8 << 20, resource.RLIM_INFINITY))
    assert [check.level for check in checks.check_memlock()] == [Level.OK]
    executable(programs, "nvidia-smi", "exit 0")
    (check,) = checks.check_memlock()
    assert check.level is Level.WARN and "memlock: -1" in (check.advice or "")
    monkeypatch.setattr(checks.resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert [check.message for check in checks.check_memlock()] == ["unlimited"]


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPTAINER_TMPDIR", str(tmp_path / "not made yet"))
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2 << 30}))
    found = by_name(checks.check_room(tmp_path / "runs"))
    assert {name: check.level for name, check in found.items()} == {
        "unpacking": Level.WARN,
        "converted": Level.WARN,
    }
    assert found["unpacking"].message.endswith("not made yet: 2 GiB free")
    assert "$APPTAINER_TMPDIR" in (found["unpacking"].advice or "") and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("version", [1, 2, None])
def test_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int | None) -> None:
    monkeypatch.setattr(checks, "_CGROUP", tmp_path)
    if version == 1:
        (tmp_path / "memory").mkdir()
    if version == 2:
        (tmp_path / "cgroup.controllers").touch()
    check = checks.check_cgroup()
    if version is None:
        assert check.level is Level.WARN
    else:
        assert (check.level, check.message) == (Level.OK, f"version {version}")
