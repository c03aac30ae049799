"""Links in folders of data are followed at any depth, so that a container sees the files."""

import os
from pathlib import Path

import pytest

from launch.actions import link_mounts
from launch.actions.container_mounts import needed_mounts
from launch.actions.link_mounts import mounts_of_links
from launch.errors import LaunchError
from launch.specs.mount import lies_in


def link(place: Path, target: str | Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    return place


def file(place: Path, text: str = "x") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def mounts(folder: Path) -> dict[str, str]:
    return {mount.target: mount.source for mount in mounts_of_links(str(folder))}


def inside(folder: Path, path: str) -> str | None:
    """Return the file of the host that a container finds at a path, following links as the kernel does there."""
    seen = {str(folder): str(folder), **mounts(folder)}
    for _ in range(40):
        root = max((root for root in seen if lies_in(path, root)), key=len, default=None)
        if root is None:
            return None
        place, rest = os.path.realpath(seen[root]), Path(os.path.relpath(path, root)).parts
        where = root
        for number, part in enumerate(rest):
            if part == ".":
                continue
            place, where = os.path.join(place, part), os.path.join(where, part)
            if os.path.islink(place):
                path = os.path.normpath(os.path.join(os.path.dirname(where), os.readlink(place), *rest[number + 1 :]))
                break
        else:
            return place if os.path.exists(place) else None
    return None


def test_links_at_any_depth_lead_to_their_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    blob, far = file(tmp_path / "store" / "blob"), file(tmp_path / "far" / "deep" / "blob2")
    link(data / "a" / "b" / "c" / "one", "../../../../store/blob")
    link(data / "a" / "two", far)
    link(data / "top", blob)
    assert inside(data, f"{data}/a/b/c/one") == inside(data, f"{data}/top") == str(blob)
    assert inside(data, f"{data}/a/two") == str(far)


def test_links_through_links_and_linked_folders(tmp_path: Path) -> None:
    data = tmp_path / "data"
    blob = file(tmp_path / "objects" / "12" / "blob")
    middle = link(tmp_path / "middle" / "name", "../objects/12/blob")
    link(data / "sets" / "one", middle)
    # A linked folder has links of its own.
    link(tmp_path / "elsewhere" / "words" / "yes" / "1.wav", blob)
    link(data / "words", tmp_path / "elsewhere" / "words")
    assert inside(data, f"{data}/sets/one") == str(blob)
    assert inside(data, f"{data}/words/yes/1.wav") == str(blob)


def test_a_data_folder_that_is_a_link_itself(tmp_path: Path) -> None:
    blob = file(tmp_path / "disk" / "store" / "blob")
    link(tmp_path / "disk" / "data" / "set" / "relative", "../../store/blob")
    own = file(tmp_path / "disk" / "data" / "own")
    link(tmp_path / "disk" / "data" / "set" / "absolute", own)
    data = link(tmp_path / "home" / "data", tmp_path / "disk" / "data")
    assert inside(data, f"{data}/set/relative") == str(blob)
    assert inside(data, f"{data}/set/absolute") == str(own)


def test_links_inside_and_broken_links_need_no_mount(tmp_path: Path) -> None:
    file(tmp_path / "data" / "x" / "real")
    link(tmp_path / "data" / "y" / "same", "../x/real")
    link(tmp_path / "data" / "y" / "round", "..")
    link(tmp_path / "data" / "gone", "/no/such/file")
    assert mounts(tmp_path / "data") == {}


def test_many_links_share_the_mounts_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    for number in range(100):
        link(data / "set" / str(number), file(tmp_path / "one-folder" / str(number)))
    assert mounts(data) == {f"{tmp_path}/one-folder": f"{tmp_path}/one-folder"}
    for number in range(100):
        link(data / "hashed" / str(number), file(tmp_path / "cache" / f"{number:02}" / "blob"))
    assert mounts(data) == {str(tmp_path): str(tmp_path)}
    monkeypatch.setattr(link_mounts, "_may_be_mounted", lambda folder: False)
    with pytest.raises(LaunchError, match=r"links to .*, and other links in .* too many") as caught:
        mounts(data)
    assert f"--mount {tmp_path}" in (caught.value.hint or "")


def test_a_home_folder_is_not_mounted_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    wanted = {"/": False, "/data": False, "/home/ada": False, "/home": False, "/home/ada/.cache": True, "/d/e": True}
    assert {folder: link_mounts._may_be_mounted(folder) for folder in wanted} == wanted


def test_the_data_of_runs_are_mounted_with_what_they_link_to(tmp_path: Path) -> None:
    blob = file(tmp_path / "store" / "blob")
    link(tmp_path / "data" / "speech" / "x", blob)
    found, _ = needed_mounts([{"data": {"name": "digits", "root": str(tmp_path / "data"), "cache": None}}])
    assert {str(tmp_path / "data"), str(blob)} <= {mount.target for mount in found}
