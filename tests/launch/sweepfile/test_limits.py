"""Sweep files, profiles and lists of images that are more than the launcher reads: each is refused with a message."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from launch.containers.images.catalog import load_images
from launch.errors import FileError, SweepError
from launch.profiles.folders import runs_dirs
from launch.sweepfile import blocks
from launch.sweepfile.sweep import Sweep, load_sweep
from launch.yaml_file import Place, parse_yaml, read_yaml
from s5.config import yaml_limits
from s5.config.compose import compose
from s5.errors import UserError
from s5.run_dir import regular_file
from s5.run_dir.regular_file import UnfitFile, read_written

E = "experiment: e\n"
LONG = "7" * 301

REFUSED = {
    "a boolean of another word": (
        "base: {a: !!bool perhaps}",
        "line 2, column 11: 'perhaps' is not a value of the type",
    ),
    "no boolean": ("base: {a: !!bool ''}", "'' is not a value of the type !!bool"),
    "no number": ("base: {a: !!float ''}", "'' is not a value of the type !!float"),
    "a whole number with a fraction": ("base: {a: !!int 1.5}", "'1.5' is not a value of the type !!int"),
    "sexagesimal": ("base: {a: !!int '1:2:3'}", "'1:2:3' is not a value of the type !!int"),
    "null that is something": ("base: {a: !!null x}", "'x' is not a value of the type !!null"),
    "a list as a number": ("base: {a: !!int [1]}", "line 2, column 11"),
    "bytes": ("base: {a: !!binary aGk=}", "the tag '!!binary' is not allowed"),
    "no bytes": ("base: {a: !!binary é}", "the tag '!!binary' is not allowed"),
    "a set": ("base: {a: !!set {b, c}}", "the tag '!!set' is not allowed"),
    "a sorted mapping": ("base: {a: !!omap [b: 1]}", "the tag '!!omap' is not allowed"),
    "a tag of a program": ("base: {a: !mine 1}", "the tag '!mine' is not allowed"),
    "a Python object": ("base: {a: !!python/object/apply:os.getcwd []}", "is not allowed"),
    "a merge of a list as a key": ("base: {? [a] : 1}", "line 2, column 10: a key that is a list"),
    "a number of many digits": (f"base: {{a: {LONG}}}", "a number of 301 digits; at most 300"),
    "in quotes": (f"base: {{a: '{LONG}'}}", "a number of 301 digits; at most 300"),
    "in a list": (f"base: {{a: '[{LONG}]'}}", "a number of more than 300 digits"),
    "in a range": (f"grid: {{a: 'range({LONG})'}}", "grid.a: "),
    "as a seed": (f"seeds: ['{LONG * 20}']", "a number of 6,020 digits"),
    "a bound without end": ("random: {count: 1, values: {a: 'interval(-inf,inf)'}}", "must be finite"),
    "a long key": (f"base: {{{'a' * 201}: 1}}", "line 2, column 8: a key of 201 characters; at most 200"),
    "a long path": (f"base: {{{'a' * 120}: {{{'b' * 120}: 1}}}}", "a key of 241 characters; at most 200"),
    "a long text": (f"base: {{a: '[{'1,' * 5000}1]'}}", "a text of 10,005 characters; at most 10,000"),
    "lists in lists": (f"base: {{a: '{'[' * 60}{']' * 60}'}}", "lists in lists of more than 50 levels"),
    "a NUL in a value": ("base: {a: \"'x\\0'\"}", "no value may have a NUL character"),
    "much memory": ("resources: {mem_gb: 2000000}", "at most 1,048,576"),
    "many cores": ("resources: {cpus_per_task: 100000}", "from 1 to 10,000"),
    "much time": ("resources: {timeout_min: 1e30}", "above 0, at most 5,270,400"),
    "a negative deviation": ("paper: [{value: 0.5, std: -0.01}]", "paper[0].std: -0.01 is not a standard deviation"),
    "a deviation in percent": (
        "paper: [{value: 0.5, std: 1.5}]",
        "std: 1.5 is not a valid standard deviation",
    ),
    "a NUL in a name": ('include: "x\\0.yaml"', "include: 'x\\x00.yaml' is not the name of a file"),
    "a long name": (f"include: {'x' * 300}.yaml", "include: cannot be read: File name too long"),
    "a device": ("include: /dev/null", "include: this is a device; a regular file is needed: /dev/null"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_no_key_can_have_is_refused_with_its_place(load: Callable[..., Sweep], text: str, message: str) -> None:
    with pytest.raises(SweepError) as caught:
        load(E + text)
    assert message in caught.value.message
    assert len(caught.value.message) < 600


def test_a_tag_that_fits_its_value_is_read() -> None:
    text = "[!!int 3, !!float 3, !!float 1e-3, !!float .inf, !!bool true, !!null '', !!str 3, !!seq [1], !!map {a: 1}]"
    value = parse_yaml(f"a: {text}", Place("x.yaml"))["a"]
    assert value == [3, 3.0, 1e-3, float("inf"), True, None, "3", [1], {"a": 1}]


def test_what_is_no_regular_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name, message in (("pipe", "a FIFO"), ("circle", "symbolic links"), ("folder", "this is a folder")):
        for read in (load_sweep, load_images, lambda path: read_yaml(path, Place("x"))):
            with pytest.raises(FileError, match=message):
                read(tmp_path / f"{name}.yaml")
        (tmp_path / "x.yaml").write_text(f"include: {name}.yaml")
        with pytest.raises(SweepError, match=rf"x.yaml: include: .*{message}.*{name}.yaml$"):
            load_sweep(tmp_path / "x.yaml")
    (tmp_path / "launch").mkdir()
    os.mkfifo(tmp_path / "launch" / "cluster.yaml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "cluster" not in runs_dirs()


def test_a_file_is_read_up_to_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    for most in (5, 4):
        monkeypatch.setattr(regular_file, "MAX_WRITTEN_BYTES", most)
        with nullcontext() if most == 5 else pytest.raises(UnfitFile, match="larger than 4 bytes"):
            assert read_written(tmp_path / "x") == b"12345"
    monkeypatch.undo()
    with pytest.raises(SweepError, match="larger than 1,048,576 bytes"):
        (tmp_path / "y.yaml").write_text("#" * (2**20 + 1))
        load_sweep(tmp_path / "y.yaml")


def test_values_are_counted_with_what_aliases_stand_for(
    load: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_limits, "MAX_VALUES", 35)
    assert parse_yaml(f"a: [{'x, ' * 25}x]", Place("x"))
    with pytest.raises(SweepError, match=r"line 1, column \d+: more than 35 keys and values in one file$"):
        parse_yaml(f"a: [{'x, ' * 40}x]", Place("x"))
    assert parse_yaml("a: &a [x, x, x, x]\nb: &b [*a, *a]\nc: *b", Place("x"))["c"] == [["x"] * 4] * 2
    with pytest.raises(SweepError, match=r"line 3, column 9: more than 35 .* with what its aliases stand for"):
        load("a: &a [x, x, x, x]\nb: &b [*a, *a]\nc: [*b, *b]")
    with pytest.raises(SweepError, match="line 3"):
        load("a: &a {x: 1, y: 2}\nb: &b {k: {<<: *a}, l: {<<: *a}}\nc: [{<<: *b}, {<<: *b}]")


def test_the_depth_is_counted_with_what_aliases_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_limits, "MAX_DEPTH", 5)
    assert parse_yaml("a: &a [[x]]\nb: [*a]", Place("x"))["b"] == [[["x"]]]
    with pytest.raises(SweepError, match="line 2, column 6: nested too deeply: at most 5 levels"):
        parse_yaml("a: &a [[x]]\nb: [[*a]]", Place("x"))
    with pytest.raises(SweepError, match="line 1, column 8: nested too deeply"):
        parse_yaml("a: [[[[x]]]]", Place("x"))


def test_files_that_include_each_other_are_counted_each_time(
    load: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_MAX_FILES", 6)
    twice = {f"f{n}": f"include: [f{n + 1}.yaml, f{n + 1}.yaml]" for n in range(3)} | {"f3": E}
    assert load("include: [f2.yaml, f3.yaml, f3.yaml]", **twice).runs
    with pytest.raises(SweepError, match=r"f2.yaml: include\[0\]: more than 6 files are included"):
        load("include: f0.yaml", **twice)


def test_blocks_in_included_files_do_not_end_in_an_error_of_python(load: Callable[..., Sweep]) -> None:
    inner = "blocks: [{" * 22 + "include: NEXT" + "}]" * 22
    files = {f"f{n}": inner.replace("NEXT", f"f{n + 1}.yaml") for n in range(40)} | {"f40": E}
    with pytest.raises(SweepError, match="nested too deeply"):
        load("include: f0.yaml", **files)


def test_names_that_no_file_can_have_name_no_file(load: Callable[..., Sweep], tmp_path: Path) -> None:
    long = "n" * 300
    assert load(f"experiment: e\nplugins: [{long}]").plugins == (long,)
    with pytest.raises(SweepError, match="File name too long"):
        load_sweep(tmp_path / long)
    with pytest.raises(UserError, match=long):
        compose([f"train.init_from={long}"])
    with pytest.raises(UserError, match=r"^optim\.lr: a number of 401 digits"):
        compose([f"optim.lr=1{'0' * 400}"])
