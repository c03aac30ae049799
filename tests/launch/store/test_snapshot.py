"""Snapshots of the code: their contents, and that they appear complete or not at all, even after kills."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from launch.errors import LaunchError
from launch.store import snapshot, source_files
from launch.store.snapshot import SNAPSHOTS, take_snapshot

ROOT = Path(__file__).parents[3]


def git(folder: Path, *words: Any) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, env=environment)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a repository with a package, an ignored folder and a commit."""
    source = tmp_path / "repo"
    for name, text in {
        "s5/__init__.py": "",
        "s5/train.py": "print(1)\n",
        "run.sh": "#!/bin/sh\n",
        ".gitignore": "data/\n*.pyc\n",
        "data/raw": "x",
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    (source / "run.sh").chmod(0o755)
    git(tmp_path, "init", "-q", str(source))
    git(source, "add", ".")
    git(source, "commit", "-qm", "first")
    return source


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def listing(path: Path) -> set[str]:
    return {p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir() or p.is_symlink()}


def test_it_holds_tracked_modified_and_new_files_but_no_ignored_and_no_deleted(source: Path, runs: Path) -> None:
    (source / "s5" / "train.py").write_text("print(2)\n")
    (source / "s5" / "new.py").write_text("new\n")
    (source / "s5" / "__init__.py").unlink()
    (source / "s5" / "x.pyc").write_text("compiled")
    taken = take_snapshot(source, runs)
    assert listing(taken.path) == {".gitignore", "run.sh", "s5/train.py", "s5/new.py"}
    assert (taken.path / "s5" / "train.py").read_text() == "print(2)\n"
    assert taken.path == runs / SNAPSHOTS / taken.hash
    assert (taken.files, taken.notices) == (4, ())
    assert taken.bytes == sum((taken.path / name).stat().st_size for name in listing(taken.path))


def test_files_are_read_only_and_keep_their_execution_bit(source: Path, runs: Path) -> None:
    path = take_snapshot(source, runs).path
    assert stat.S_IMODE((path / "run.sh").stat().st_mode) & 0o333 == 0o111
    assert stat.S_IMODE((path / "s5" / "train.py").stat().st_mode) & 0o333 == 0


def test_the_same_code_is_the_same_snapshot_and_other_code_another(source: Path, runs: Path) -> None:
    first = take_snapshot(source, runs)
    inode = first.path.stat().st_ino
    os.utime(source / "s5" / "train.py")
    assert take_snapshot(source, runs) == first
    assert first.path.stat().st_ino == inode
    hashes = {first.hash}
    (source / "s5" / "train.py").write_text("print(3)\n")
    hashes.add(take_snapshot(source, runs).hash)
    (source / "run.sh").chmod(0o644)
    hashes.add(take_snapshot(source, runs).hash)
    (source / "run.sh").rename(source / "go.sh")
    hashes.add(take_snapshot(source, runs).hash)
    assert len(hashes) == 4
    assert (first.path / "s5" / "train.py").read_text() == "print(1)\n"


def test_a_part_of_a_repository_is_taken_by_itself(source: Path, runs: Path) -> None:
    assert listing(take_snapshot(source / "s5", runs).path) == {"__init__.py", "train.py"}


def test_the_runs_folder_is_never_code(source: Path) -> None:
    first = take_snapshot(source, source / "runs")
    assert take_snapshot(source, source / "runs").hash == first.hash
    assert not any(name.startswith("runs/") for name in listing(first.path))


def test_what_does_not_belong_is_left_out_with_a_notice(
    source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_files, "MAX_FILE_BYTES", 1000)
    (source / ".env").write_text("KEY=1")
    (source / "weights.bin").write_bytes(b"0" * 1001)
    (source / "outside").symlink_to("../elsewhere")
    (source / "absolute").symlink_to("/etc/passwd")
    (source / "inside").symlink_to("s5/train.py")
    os.mkfifo(source / "s5" / "pipe")
    (source / "nested").mkdir()
    git(source, "init", "-q", "nested")
    (source / "nested" / "f").write_text("x")
    git(source / "nested", "add", "f")
    git(source / "nested", "commit", "-qm", "n")
    git(source, "add", "-f", "nested")
    taken = take_snapshot(source, runs)
    said = "\n".join(taken.notices)
    for name, why in {
        ".env": "a secret",
        "weights.bin": "too large",
        "outside": "a file outside the code",
        "absolute": "a file outside the code",
        "nested": "a repository of its own",
    }.items():
        assert f"{name} " in said and why in said
        assert name not in listing(taken.path)
    assert os.readlink(taken.path / "inside") == "s5/train.py"
    assert "s5/pipe" not in listing(taken.path)


def test_hostile_names(source: Path, runs: Path) -> None:
    names = ["a b", "it's", 'quo"te', "new\nline", "é", "-rf", "$(x)", "\udcff"]
    for name in names:
        (source / name).write_text(name.encode("utf-8", "surrogateescape").hex())
    hostile = runs / "a 'b'\n"
    taken = take_snapshot(source, hostile)
    assert set(names) <= listing(taken.path)
    (source / "new\nline").write_bytes(b"0" * 20)
    assert take_snapshot(source, hostile).hash != taken.hash


def test_code_that_is_too_large_names_the_largest(source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "MAX_TOTAL_BYTES", 100)
    (source / "big.py").write_text("#" * 200)
    with pytest.raises(LaunchError, match=r"limit 0; the largest are big\.py") as caught:
        take_snapshot(source, runs)
    assert ".gitignore" in (caught.value.hint or "")
    assert not runs.exists()


def plain_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plain"
    (folder / "s5" / "__pycache__").mkdir(parents=True)
    (folder / "s5" / "a.py").write_text("1")
    (folder / "s5" / "__pycache__" / "a.pyc").write_text("1")
    (folder / "notes.txt").write_text("no package")
    return folder


def test_without_a_repository_the_packages_are_taken(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    taken = take_snapshot(plain_folder(tmp_path), runs)
    assert listing(taken.path) == {"s5/a.py"}
    assert taken.notices == ()


def test_without_git_the_packages_are_taken_and_it_is_said(
    source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    taken = take_snapshot(source, runs)
    assert listing(taken.path) == {"s5/__init__.py", "s5/train.py"}
    assert "git is not installed" in taken.notices[0]


def test_a_repository_that_git_refuses_is_taken_by_its_packages_and_it_is_said(
    source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "bin" / "git"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho \"fatal: detected dubious ownership in repository at 'x'\" >&2\nexit 128\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing.parent}:{os.environ['PATH']}")
    taken = take_snapshot(source, runs)
    assert listing(taken.path) == {"s5/__init__.py", "s5/train.py"}
    assert "safe.directory" in taken.notices[0]


def test_a_folder_without_code_is_refused(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(LaunchError, match="no code found"):
        take_snapshot(tmp_path / "empty", runs)


def test_variables_of_a_git_hook_do_not_lead_elsewhere(
    source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert "run.sh" in listing(take_snapshot(source, runs).path)


def test_a_file_that_changes_while_it_is_copied_is_taken_again(
    source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_file, edits = snapshot._copy_file, iter(["print(4)\n", "print(5)\n"])

    def edit_then_copy(folder: Path, target, file, total) -> None:
        if file.path == "s5/train.py" and (text := next(edits, None)):
            (source / file.path).write_text(text)
        copy_file(folder, target, file, total)

    monkeypatch.setattr(snapshot, "_copy_file", edit_then_copy)
    taken = take_snapshot(source, runs)
    assert (taken.path / "s5" / "train.py").read_text() == "print(5)\n"
    assert [p.name for p in (runs / SNAPSHOTS).iterdir()] == [taken.hash]


def test_a_damaged_snapshot_is_made_anew(source: Path, runs: Path) -> None:
    taken = take_snapshot(source, runs)
    (taken.path / "s5" / "train.py").unlink()
    (taken.path / "run.sh").chmod(0o644)
    (taken.path / "run.sh").write_text("")
    assert take_snapshot(source, runs) == taken
    assert (taken.path / "s5" / "train.py").read_text() == "print(1)\n"
    assert (taken.path / "run.sh").read_text() == "#!/bin/sh\n"
    assert [p.name for p in (runs / SNAPSHOTS).iterdir()] == [taken.hash]


def test_a_snapshot_that_is_cleaned_away_while_it_is_taken_up_is_made_anew(
    source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = take_snapshot(source, runs)
    utime = os.utime

    def too_late(path: Path) -> None:
        if taken.path.exists():
            os.rename(path, path.with_name(".hidden.old"))
        utime(path)

    monkeypatch.setattr(os, "utime", too_late)
    assert take_snapshot(source, runs) == taken
    assert "s5/train.py" in listing(taken.path)


def test_a_full_or_closed_disk_is_explained(source: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LaunchError, match=r"the code cannot be copied: .*Not a directory"):
        take_snapshot(source, blocked / "runs")


def test_a_full_disk_is_named_with_what_to_do(source: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("launch.store.snapshot._take", full)
    with pytest.raises(LaunchError, match=r"cannot copy the code to .*\.snapshots: No space left") as caught:
        take_snapshot(source, runs)
    assert "free some space" in (caught.value.hint or "")


def test_takers_at_once_agree(source: Path, runs: Path) -> None:
    for i in range(30):
        (source / f"s5/m{i}.py").write_text(str(i))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: take_snapshot(source, runs), range(16)))
    assert len({t.hash for t in taken}) == 1
    assert [p.name for p in (runs / SNAPSHOTS).iterdir()] == [taken[0].hash]
    assert "s5/m29.py" in listing(taken[0].path)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_taker_killed_in_the_middle_leaves_nothing_that_counts(source: Path, runs: Path, after: int) -> None:
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from launch.store import snapshot
        copy_file, done = snapshot._copy_file, []
        def copy_or_die(*args):
            if len(done) == {after}:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(copy_file(*args))
        snapshot._copy_file = copy_or_die
        snapshot.take_snapshot(Path(sys.argv[1]), Path(sys.argv[2]))
    """
    words = [sys.executable, "-c", textwrap.dedent(code), str(source), str(runs)]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert all(p.name.startswith(".tmp-") for p in (runs / SNAPSHOTS).iterdir())
    taken = take_snapshot(source, runs)
    assert listing(taken.path) == {".gitignore", "run.sh", "s5/__init__.py", "s5/train.py"}


def test_this_repository_can_be_taken(runs: Path) -> None:
    taken = take_snapshot(ROOT, runs)
    assert {"s5/training/loop.py", "s5/conf/config.yaml"} <= listing(taken.path)
    done = subprocess.run(
        [sys.executable, "-c", "import s5; print(s5.__file__)"],
        env={**os.environ, "PYTHONPATH": str(taken.path), "PYTHONSAFEPATH": "1"},
        cwd=runs,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == taken.path / "s5" / "__init__.py"


def test_on_a_file_system_without_links_their_targets_are_copied(source: Path, exfat: Path) -> None:
    (source / "inside").symlink_to("s5/train.py")
    (source / "folder").symlink_to("s5", target_is_directory=True)
    git(source, "add", ".")
    taken = take_snapshot(source, exfat)
    assert (taken.path / "inside").read_text() == (taken.path / "folder" / "train.py").read_text() == "print(1)\n"
    before = (taken.path / "inside").stat().st_mtime_ns
    assert take_snapshot(source, exfat).path == taken.path
    assert (taken.path / "inside").stat().st_mtime_ns == before  # it is whole, and not copied again
