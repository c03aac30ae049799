"""Keys of the sweep file that are typed on the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launch.errors import SweepError
from launch.sweepfile.sweep import Sweep, load_sweep, single_run


def test_the_name_of_a_sweep_on_the_command_line_belongs_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("experiment: digits/s5\n")
    with pytest.raises(SweepError, match="command line: name: the name of a sweep belongs in its file") as caught:
        load_sweep(file, ["name=two"])
    assert caught.value.hint == f"write `name: two` into {file}"


@pytest.mark.parametrize(
    "argument", ["max_parallel=1", "metric=acc", "retry.crash=2", "name=b2", "+after=x", "grid.a=1"]
)
@pytest.mark.parametrize("text", ["experiment: digits/s5", "command: [echo, '{a}']\nbase: {a: 1}"])
def test_a_key_of_the_sweep_file_is_refused_on_the_command_line(
    load: Callable[..., Sweep], text: str, argument: str
) -> None:
    key = argument.partition("=")[0].lstrip("+")
    with pytest.raises(SweepError) as caught:
        load(text, [argument])
    assert caught.value.message.startswith(f"command line: {key}: ")
    assert "x.yaml" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("command: [echo]\nbase: {max_parallel: 1}", "max_parallel=2"),
        ("command: [echo]\nlist: [{retry.crash: 1}]", "retry.crash=2"),
        ("command: [echo]\ngrid: {list.a: [1, 2]}", "list.b=2"),
        ("command: [echo, 'to-{name}']", "name=two"),
        ("blocks: [{command: [echo], grid: {metric: [l1]}}, {command: [echo]}]", "metric=l2"),
    ],
)
def test_a_parameter_may_have_the_name_of_a_key_of_the_sweep_file(
    load: Callable[..., Sweep], text: str, argument: str
) -> None:
    sweep = load(text, [argument])
    assert sweep.name == "x"
    assert all(argument in run.overrides for run in sweep.runs)


def test_a_single_run_has_no_keys_of_a_sweep_file() -> None:
    with pytest.raises(SweepError, match="command line: max_parallel: a key of a sweep file") as caught:
        single_run("digits/s5", ["max_parallel=2"])
    assert "`launch sweep FILE`" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("seeds: 3\nexperiment: e\nblocks: [{seeds: 1, grid: {a: [1]}}, {blocks: [{seeds: 2}]}]", "seeds"),
        ("experiment: e\nblocks: [{experiment: f}]", "experiment"),
        ("command: [a]\nblocks: [{command: [b]}]", "command"),
        ("seeds: 3\nexperiment: e\nblocks: [{seeds: 1, grid: {a: [1]}}, {blocks: [{base: {a: 2}}]}]", None),
        ("seeds: 3\nexperiment: e", None),
    ],
)
def test_an_inherited_key_that_no_run_uses_is_told(load: Callable[..., Sweep], text: str, key: str | None) -> None:
    told = [warning for warning in load(text).warnings if "no run uses it" in warning]
    assert len(told) == (key is not None)
    assert all(f"x.yaml: {key}: no run uses it: every block inside has {key} of its own" in each for each in told)
