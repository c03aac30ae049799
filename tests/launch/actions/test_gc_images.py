"""`launch gc` and converted images, which are made by hand with the names and notes of a conversion."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from launch.actions import gc
from launch.cli import main
from launch.containers.images.convert import (
    Form,
    ImageOrigin,
    claim_image,
    convert,
    growing_of,
    lock_of,
    locked,
    note_of,
    place_of,
    scratch_of,
)
from launch.specs.image import Image
from launch.store.record_json import to_json
from launch.store.state import State
from launch.store.store import Store
from tests.launch.made_sweep import Made, make_sweep, run_id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DONE = Made(state=State.SUCCEEDED)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPTAINER_TMPDIR", str(tmp_path / "scratch"))


def image_of(digit: str) -> Image:
    return Image(name="cpu", reference=f"sha256:{digit * 64}", id=f"sha256:{digit * 64}")


def make(root: Path, digit: str, form: Form = Form.SIF, *, old: bool = True) -> Path:
    """Write the files that a conversion leaves."""
    place = place_of(image_of(digit), form, root)
    place.parent.mkdir(parents=True, exist_ok=True)
    if form is Form.FOLDER:
        (place / "etc").mkdir(parents=True)
        (place / "etc" / "passwd").write_bytes(b"x" * 1000)
    else:
        place.write_bytes(b"x" * 1000)
    note_of(place).write_text(json.dumps(asdict(ImageOrigin(image=replace(image_of(digit), file=str(place))))))
    if old:
        make_old(place, note_of(place))
    return place


def make_old(*paths: Path) -> None:
    ancient = time.time() - 2 * gc.GRACE_S
    for path in paths:
        os.utime(path, (ancient, ancient))


def found(root: Path) -> dict[Path, str]:
    store = Store(root)
    return {item.path: item.kind for item in gc.find_garbage(store, store.sweeps())}


def name_in_manifest(root: Path, place: Path) -> None:
    sweep = make_sweep(root, "named", [DONE])
    header = replace(sweep.state().manifest.headers[1], image=replace(image_of("0"), file=f"/elsewhere/{place.name}"))
    sweep.state().freeze(header, [one.entry for one in sweep.state().manifest.listed.values()])


def name_in_attempt(root: Path, place: Path) -> None:
    record = make_sweep(root, "tried", [DONE]).run_dir(run_id_of(DONE)) / "attempts/0/attempt.json"
    image = to_json(replace(image_of("0"), file=str(place)))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"image": image}))


def test_images_go_only_where_nothing_names_them(tmp_path: Path) -> None:
    name_in_manifest(tmp_path, make(tmp_path, "a"))
    name_in_attempt(tmp_path, make(tmp_path, "b"))
    make(tmp_path, "c", old=False)
    (tmp_path / ".images" / "of-a-user.sif").write_text("without a note")
    (tmp_path / ".images" / ".sum-0123.json").write_text("{}")
    make_old(*(tmp_path / ".images").glob("*some*"), tmp_path / ".images/.sum-0123.json")
    one, other = make(tmp_path, "d"), make(tmp_path, "e", Form.FOLDER)
    assert found(tmp_path) == {one: "image", other: "image"}


@pytest.mark.parametrize("form", Form)
def test_an_image_goes_with_its_note(tmp_path: Path, form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    place = make(tmp_path, "a", form)
    assert main(["gc", "--dry-run", "--runs", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["image", "1000", "B", str(place)]
    assert err.startswith("1 image: ") and err.endswith(" can go\n")
    assert place.exists() and note_of(place).exists()
    assert main(["gc", "--runs", str(tmp_path)]) == 0
    assert list((tmp_path / ".images").iterdir()) == []


def test_nothing_goes_that_somebody_makes(tmp_path: Path) -> None:
    place = make(tmp_path, "a")
    growing, scratch = growing_of(place), scratch_of(place)
    growing.touch()
    scratch.mkdir(parents=True)
    make_old(growing, scratch)
    garbage = gc.find_garbage(Store(tmp_path), [])
    assert {item.path for item in garbage} == {place, growing, scratch}
    with locked(place, print):
        assert found(tmp_path) == {}
        gc.remove(Store(tmp_path), [item for item in garbage if item.kind == "temporary"])
        assert growing.exists() and scratch.exists()
    gc.remove(Store(tmp_path), garbage)
    assert not (growing.exists() or scratch.exists() or place.exists())


@pytest.mark.parametrize("machine", ["this machine", "another machine"])
@pytest.mark.parametrize("old", [True, False])
def test_what_a_killed_converter_left_goes_once_it_is_old(tmp_path: Path, machine: str, old: bool) -> None:
    place = make(tmp_path, "a")
    place.unlink()
    growing = growing_of(place)
    if (
        machine == "another machine"
    ):  # its lock cannot be seen from here: the age decides, and a converter keeps it young
        growing = growing.with_name(f".{place.name}.node7.example.tmp")
    growing.write_text("half")
    left = [growing, note_of(place)]
    if machine == "this machine":
        lock_of(place).touch()  # a kill leaves the file, and no process holds it
        scratch_of(place).mkdir(parents=True)
        (scratch_of(place) / "image.tar").write_text("half")
        left.append(scratch_of(place))
    if old:
        make_old(*left)
    else:
        for path in left:
            os.utime(path)
    assert found(tmp_path) == (dict.fromkeys(left, "temporary") if old else {})
    gc.remove(Store(tmp_path), gc.find_garbage(Store(tmp_path), []))
    assert [path.exists() for path in left] == [not old] * len(left)


@pytest.mark.parametrize("late", [False, True], ids=["before the removal", "at the renaming"])
@pytest.mark.parametrize("name", [None, name_in_manifest], ids=["taken up", "named by a manifest"])
def test_an_image_that_is_taken_up_meanwhile_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: Callable[[Path, Path], None] | None,
    late: bool,
) -> None:
    place = make(tmp_path, "a", Form.FOLDER)
    garbage = gc.find_garbage(Store(tmp_path), [])

    def act() -> None:
        if name is None:
            assert claim_image(place)
        else:
            name(tmp_path, place)

    if late:
        rename, waiting = os.rename, [act]

        def act_then_rename(source: Path, target: Path) -> None:
            if source == note_of(place) and waiting:
                waiting.pop()()
            rename(source, target)

        monkeypatch.setattr(os, "rename", act_then_rename)
    else:
        act()
    assert gc.remove(Store(tmp_path), garbage) == 0
    assert claim_image(place)
    assert (place / "etc" / "passwd").exists()
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(".")] == []


def test_a_removal_that_is_killed_is_ended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make(tmp_path, "a", Form.FOLDER)
    garbage = gc.find_garbage(Store(tmp_path), [])

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(gc, "remove_tree", dies)
        gc.remove(Store(tmp_path), garbage)
    assert not place.exists()
    (hidden,) = place.parent.iterdir()
    make_old(hidden)
    assert found(tmp_path) == {hidden: "temporary"}
    gc.remove(Store(tmp_path), gc.find_garbage(Store(tmp_path), []))
    assert list(place.parent.iterdir()) == []


def test_an_unreadable_manifest_puts_the_note_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make(tmp_path, "a")
    garbage = gc.find_garbage(Store(tmp_path), [])
    sweep = make_sweep(tmp_path, "x", [DONE])
    rename = os.rename

    def damage_then_rename(source: Path, target: Path) -> None:
        (sweep.path / "manifest" / "0002.jsonl").write_text("{")
        rename(source, target)

    monkeypatch.setattr(os, "rename", damage_then_rename)
    with pytest.raises(gc.StoreError, match=r"0002\.jsonl"):
        gc.remove(Store(tmp_path), garbage)
    assert claim_image(place)


def test_the_names_are_those_of_a_conversion(tmp_path: Path) -> None:
    place = make(tmp_path, "a", old=False)
    assert convert(image_of("a"), Form.SIF, tmp_path) == place, "nothing is asked of an engine"
    make_old(note_of(place))
    assert found(tmp_path) == {place: "image"}
    convert(image_of("a"), Form.SIF, tmp_path)
    assert found(tmp_path) == {}, "it has just been taken up"
