"""Sweep files: the message for each mistake."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.errors import SweepError
from launch.sweepfile.sweep import Sweep, load_sweep

MISTAKES = {
    "unknown key": ("grids: {a: 1}", "grids: unknown key; did you mean grid?", "the keys here are name, experiment"),
    "config key at the top": ("optim.lr: 1", "optim.lr: unknown key", "under base"),
    "unknown key in a block": ("blocks: [{sed: 1}]", "blocks[0].sed: unknown key; did you mean seeds?", "the keys"),
    "metric inside a block": ("blocks: [{metric: a}]", "blocks[0].metric: unknown key", "the keys here are"),
    "no experiment": ("seeds: 1", "experiment is missing", "experiment: digits/s5"),
    "experiment is a number": ("experiment: 3", "experiment: 3 is not the name of an experiment", "digits/s5"),
    "empty grid": ("experiment: e\ngrid: {}", "grid: no key is varied here", "name a key"),
    "grid without a value": ("experiment: e\ngrid: {a: []}", "grid.a: the list of values is empty", "at least one"),
    "grid of nothing": ("experiment: e\ngrid:", "grid: nothing is not a mapping", None),
    "grid is a list": ("experiment: e\ngrid: [1]", "grid: a list is not a mapping", None),
    "empty range": ("experiment: e\ngrid: {a: 'range(3,3)'}", "grid.a: the list of values is empty", None),
    "a value twice": ("experiment: e\ngrid: {a: [1e-3, 0.001]}", "grid.a: the value 0.001 is listed twice", None),
    "a sweep in base": ("experiment: e\nbase: {a: 'choice(1,2)'}", "base.a: 'choice(1,2)' is more than one", "grid"),
    "a sweep in a list": ("experiment: e\ngrid: {a: ['range(3)']}", "grid.a[0]: 'range(3)' is more than one", None),
    "an interval in a grid": (
        "experiment: e\ngrid: {a: 'interval(0,1)'}",
        "has infinitely many values",
        "random.values",
    ),
    "shuffle": (
        "experiment: e\ngrid: {a: 'shuffle(1,2)'}",
        "grid.a: 'shuffle(1,2)' is not a valid value: shuffle()",
        None,
    ),
    "glob": ("experiment: e\ngrid: {a: 'glob(*)'}", "glob() is not supported", None),
    "not in the grammar": (
        "experiment: e\nbase: {a: 'f(x'}",
        "base.a: 'f(x' is not a valid value",
        "quotes inside the quotes",
    ),
    "unicode outside quotes": (
        "experiment: e\nbase: {a: é}",
        "base.a: 'é' is not a valid value",
        "quotes inside the quotes",
    ),
    "a date": (
        "experiment: e\nbase: {a: !!timestamp 2020-01-01}",
        "line 2, column 11: the tag '!!timestamp' is not allowed here",
        None,
    ),
    "python object": ("experiment: !!python/name:os.system x", "line 1, column 13", None),
    "seed in base": ("experiment: e\nbase: {seed: 1}", "base.seed: seed cannot be set here", "seeds"),
    "experiment in a grid": ("experiment: e\ngrid: {experiment: [a]}", "grid.experiment: experiment cannot", None),
    "not a key": ("experiment: e\nbase: {'a b': 1}", "base.a b: not a key of Hydra's", "optim.lr"),
    "key with a newline": ('experiment: e\nbase: {"a\\nb": 1}', "base.a\\nb: not a key", None),
    "hydra's own key": ("experiment: e\nbase: {hydra.run.dir: x}", "base.hydra.run.dir: Hydra's own", None),
    "a secret": ("experiment: e\nbase: {wandb.api_key: x}", "base.wandb.api_key: looks like a secret", "environment"),
    "key is a number": ("experiment: e\nbase: {1: x}", "base: the key 1 is not text", "quotes"),
    "nested and dotted": ("experiment: e\nbase: {a.b: 1, a: {b: 2}}", "base.a.b: a.b appears twice", None),
    "zip of unequal lengths": (
        "experiment: e\nzip: {a: [1, 2], b: [3]}",
        "zip: the lists differ in length: a has 2, b has 1",
        None,
    ),
    "one of several zips": ("experiment: e\nzip: [{a: [1]}, {b: [1], c: [1, 2]}]", "zip[1]: the lists differ", None),
    "empty list": ("experiment: e\nlist: []", "list: the list of points is empty", None),
    "list of no mappings": ("experiment: e\nlist: [1]", "list[0]: 1 is not a mapping", None),
    "varied twice": ("experiment: e\ngrid: {a: [1]}\nzip: {a: [2]}", "zip.a: a is already varied at", None),
    "varied around and inside": (
        "experiment: e\ngrid: {a: [1, 2]}\nblocks: [{grid: {a: [3]}}]",
        "blocks[0].grid.a: a is already varied at",
        None,
    ),
    "varied around, fixed inside": (
        "experiment: e\ngrid: {a: [1, 2]}\nblocks: [{base: {a: 3}}]",
        "blocks[0].base.a: a is already varied at",
        None,
    ),
    "random without count": ("experiment: e\nrandom: {values: {a: [1]}}", "random: count is missing", "count and"),
    "random without values": ("experiment: e\nrandom: {count: 1}", "random: values is missing", None),
    "random with an unknown key": (
        "experiment: e\nrandom: {coun: 1}",
        "random.coun: unknown key; did you mean count?",
        None,
    ),
    "random count of none": (
        "experiment: e\nrandom: {count: 0, values: {a: [1]}}",
        "random.count: 0 is not a whole",
        None,
    ),
    "unknown distribution": (
        "experiment: e\nrandom: {count: 1, values: {a: {log_unifrom: [1, 2]}}}",
        "random.values.a.log_unifrom: unknown key; did you mean log_uniform?",
        "uniform, log_uniform",
    ),
    "bounds upside down": (
        "experiment: e\nrandom: {count: 1, values: {a: {uniform: [2, 1]}}}",
        "random.values.a.uniform: the lower bound 2 lies above the upper bound 1",
        None,
    ),
    "log of zero": ("experiment: e\nrandom: {count: 1, values: {a: {log_uniform: [0, 1]}}}", "must be above 0", None),
    "half an integer": (
        "experiment: e\nrandom: {count: 1, values: {a: {integers: [1, 2.5]}}}",
        "2.5 is not a whole number",
        None,
    ),
    "one bound": ("experiment: e\nrandom: {count: 1, values: {a: {uniform: [1]}}}", "two bounds", None),
    "exclude everything": (
        "experiment: e\ngrid: {a: [1, 2]}\nexclude: [{a: '< 5'}]",
        "exclude[0]: the rules of exclude remove all 2 runs",
        "loosen",
    ),
    "exclude with a misspelt key": (
        "experiment: e\ngrid: {optim.lr: [1, 2]}\nexclude: [{optim.lrr: 1}]",
        "exclude[0].optim.lrr: no run sets this key; did you mean optim.lr?",
        "experiment, optim.lr, seed",
    ),
    "an empty rule": ("experiment: e\nexclude: [{}]", "exclude[0]: an empty rule would remove every run", None),
    "exclude is a mapping": ("experiment: e\nexclude: {a: 1}", "exclude: a mapping is not a list", None),
    "comparing text": (
        "experiment: e\ngrid: {a: [1]}\nexclude: [{a: '> x'}]",
        "exclude[0].a: 'x' is not a number",
        None,
    ),
    "a time with its unit": (
        "experiment: e\nresources: {timeout_min: 1h}",
        "resources.timeout_min: '1h' is not a number",
        "minutes",
    ),
    "no seeds": ("experiment: e\nseeds: 0", "seeds: 0 is not a number of seeds", "a list names seeds"),
    "a negative seed": ("experiment: e\nseeds: [-1]", "seeds: -1 is not a whole number", None),
    "a seed twice": ("experiment: e\nseeds: [1, 1]", "seeds: the value 1 is listed twice", None),
    "unknown resource": (
        "experiment: e\nresources: {cpus: 1}",
        "resources.cpus: unknown key; did you mean cpus_per_task?",
        "the keys are",
    ),
    "wrong type of a resource": (
        "experiment: e\nresources: {cpus_per_task: two}",
        "resources.cpus_per_task: 'two' is not",
        None,
    ),
    "no cpu": (
        "experiment: e\nresources: {cpus_per_task: 0}",
        "resources.cpus_per_task: 0 is not allowed: it must be a whole number from 1",
        None,
    ),
    "no time": (
        "experiment: e\nresources: {timeout_min: -1}",
        "resources.timeout_min: -1 is not allowed: it must be a number above 0",
        None,
    ),
    "a text that must be quoted": (
        "experiment: e\nbase: {data.root: \"/data/my digits, 'quoted'\"}",
        "base.data.root: ",
        r"""to take it as it is: "'/data/my digits, \\'quoted\\''""",
    ),
    "a key in two spellings": (
        "experiment: e\nbase: {train.epochs: 1, train: {epochs: 2}}",
        "base.train.epochs: train.epochs appears twice, as `train.epochs: …` and as `train: {epochs: …}`",
        "take one",
    ),
    "command is text": (
        "experiment: e\ncommand: python x.py",
        "command: 'python x.py' is not a list",
        "[python, -m",
    ),
    "command is empty": ("experiment: e\ncommand: []", "command: the command is empty", None),
    "command of numbers": ("experiment: e\ncommand: [sleep, 1]", "command[1]: 1 is not text", "quotes"),
    "unknown reason": ("experiment: e\nretry: {oom: 1}", "retry.oom: unknown key", "killed, node_failure, timeout"),
    "retry of text": ("experiment: e\nretry: {nan: many}", "retry.nan: 'many' is not a whole number", None),
    "no parallel": ("experiment: e\nmax_parallel: 0", "max_parallel: 0 is not a whole number", None),
    "metric that no run has": (
        "experiment: e\nmetric: test/acc",
        "metric: a run has no metric 'test/acc'; did you mean test/accuracy?",
        "test/accuracy, test/loss, test/mse, val/accuracy",
    ),
    "paper of a misspelt metric": (
        "experiment: e\npaper: [{value: 0.5, metric: test/accurcy}]",
        "paper[0].metric: a run has no metric 'test/accurcy'; did you mean test/accuracy?",
        None,
    ),
    "metric is a number": ("experiment: e\nmetric: 3", "metric: 3 is not text", None),
    "name with a blank": ("experiment: e\nname: my sweep", "name: 'my sweep' cannot name a sweep", "name: my-sweep"),
    "name with a path": ("experiment: e\nname: ../x", "name: '../x' cannot name a sweep", "name: x"),
    "name with a newline": ('experiment: e\nname: "a\\nb"', "name: 'a\\nb' cannot name a sweep", "name: a-b"),
    "hidden name": ("experiment: e\nname: .snapshots", "name: '.snapshots' cannot", "name: snapshots"),
    "name is a number": ("experiment: e\nname: 3", "name: 3 is not text", "quotes"),
    "percent": ("experiment: e\npaper: [{value: 98.5}]", "paper[0].value: 98.5 is not a valid test/accuracy", "0.985"),
    "paper without a value": ("experiment: e\npaper: [{source: x}]", "paper[0]: value is missing", None),
    "paper of another experiment": (
        "experiment: digits/s5\npaper: [{value: 0.5, experiment: digits/s4}]",
        "paper[0].experiment: no run is of the experiment digits/s4; did you mean digits/s5?",
        None,
    ),
    "paper of one of two": ("experiment: [a, b]\npaper: [{value: 0.5}]", "paper[0]: experiment is missing", "a, b"),
    "paper of no setting": (
        "experiment: e\ngrid: {model.norm: [batch]}\npaper: [{value: 0.5, settings: {model.nrm: batch}}]",
        "paper[0].settings.model.nrm: the sweep does not vary this key; did you mean model.norm?",
        None,
    ),
    "missing include": ("experiment: e\ninclude: [y.yaml]", "include[0]: no such file: ", None),
    "include of nothing": ("experiment: e\ninclude: []", "include: the list of files is empty", None),
    "too many runs": (
        "experiment: e\ngrid: {a: 'range(1000)', b: 'range(1000)'}",
        "1,000,000 runs; a sweep has at most 100,000",
        "random",
    ),
    "an endless range": ("experiment: e\ngrid: {a: 'range(0,1e12,0.5)'}", "grid.a: ", None),
    "a key twice": ("experiment: e\nseeds: 1\nseeds: 2", "line 3, column 1: the key 'seeds' appears twice", None),
    "a tab": ("experiment: e\ngrid:\n\ta: [1]", "line 3, column 1: ", "no tabs"),
    "not YAML": (
        "experiment: [e\n",
        "line 2, column 1: did not find expected ',' or ']' while parsing a flow sequence from line 1",
        None,
    ),
    "two documents": ("experiment: e\n---\nexperiment: f", "line 2, column 1: ", None),
    "a list of runs": ("- experiment: e", "a list is not a mapping", None),
    "an empty file": ("", "the file is empty", None),
    "only a comment": ("# nothing", "the file is empty", None),
    "a value inside itself": (
        "experiment: e\ngrid: &g {a: *g}",
        "line 2, column 14: the alias *g stands inside",
        None,
    ),
}


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(load: Callable[..., Sweep], tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(SweepError) as caught:
        load(text)
    assert caught.value.message.startswith(f"{tmp_path}/x.yaml: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["/data/my digits, 'quoted'", "f(x", "é", 'a "b", c', "a\\b, c"])
def test_the_hint_quotes_a_text_so_that_it_is_read_as_it_is(load: Callable[..., Sweep], text: str) -> None:
    with pytest.raises(SweepError) as caught:
        load(f"experiment: e\nbase: {{a: {json.dumps(text)}}}")
    shown = (caught.value.hint or "").partition("to take it as it is: ")[2]
    (run,) = load(f"experiment: e\ngrid: {{a: [{shown}]}}").runs
    assert run.settings == {"a": text}


def test_a_cyclic_include_shows_the_circle(load: Callable[..., Sweep], tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load("include: a.yaml", a="experiment: e\ninclude: [b.yaml]", b="include: ./a.yaml")
    assert caught.value.message == (
        f"{tmp_path}/b.yaml: include: cyclic include: {tmp_path}/a.yaml -> {tmp_path}/b.yaml -> {tmp_path}/a.yaml"
    )
    with pytest.raises(SweepError, match="cyclic include"):
        load("experiment: e\ninclude: x.yaml")


def test_a_mistake_in_an_included_file_is_shown_there(load: Callable[..., Sweep], tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load("include: a.yaml", a="experiment: e\ngrid: {}")
    assert caught.value.message.startswith(f"{tmp_path}/a.yaml: grid: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path) -> tuple[str, str | None]:
        with pytest.raises(SweepError) as caught:
            load_sweep(path)
        return caught.value.message, caught.value.hint

    (tmp_path / "quickstart.yaml").write_text("experiment: e")
    (tmp_path / "latin.yaml").write_bytes("experiment: e\nname: é".encode("latin-1"))
    assert message(tmp_path / "quikstart.yaml") == (
        f"{tmp_path}/quikstart.yaml: no such file",
        f"did you mean {tmp_path}/quickstart.yaml?",
    )
    assert message(tmp_path) == (
        f"{tmp_path}: this is a folder; a YAML file is needed",
        "the YAML files there are latin.yaml, quickstart.yaml",
    )
    assert message(tmp_path / "latin.yaml")[0] == f"{tmp_path}/latin.yaml: line 2: not UTF-8 text"
    assert message(tmp_path / "no" / "x.yaml")[0].endswith("no such file")
    (tmp_path / "closed.yaml").write_text("experiment: e")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert "cannot be read" in message(tmp_path / "loop.yaml")[0]
    if os.geteuid():
        (tmp_path / "closed.yaml").chmod(0)
        assert "cannot be read: Permission denied" in message(tmp_path / "closed.yaml")[0]


def test_a_hostile_folder_is_no_obstacle_and_a_hostile_file_name_asks_for_a_name(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s "a" foldér\nof mine'
    folder.mkdir()
    (folder / "good.yaml").write_text("experiment: e\ninclude: ' b.yaml'")
    (folder / " b.yaml").write_text("experiment: f\ngrid: {a: []}")
    with pytest.raises(SweepError) as caught:
        load_sweep(folder / "good.yaml")
    assert "\n" not in caught.value.message
    (folder / " b.yaml").write_text("experiment: f")
    assert [run.experiment for run in load_sweep(folder / "good.yaml").runs] == ["f"]
    hostile = folder / "a b'\n.yaml"
    hostile.write_text("experiment: e")
    with pytest.raises(SweepError) as caught:
        load_sweep(hostile)
    assert caught.value.hint == "add `name: a-b` to the file"
    hostile.write_text("experiment: e\nname: a-b")
    assert load_sweep(hostile).name == "a-b"


@pytest.mark.parametrize(
    ("argument", "message", "hint"),
    [
        ("optim.lr", "command line: optim.lr: not an override", "key=value"),
        ("optim.lr=1,2", "command line: optim.lr: several values", "grid"),
        ("optim.lr=interval(0,1)", "command line: optim.lr: several values", "grid"),
        ("a=(", "command line: a=(: not in Hydra's override grammar", "quote"),
        ("=1", "command line: =1: not a key", None),
        ("wandb.api_key=1", "looks like a secret", None),
        ("seed=x", "command line: seed: 'x' is not a whole number", None),
        ("seeds=0", "command line: seeds: 0 is not a number of seeds", None),
        ("resources.cpu=1", "command line: resources.cpu: unknown key; did you mean cpus_per_task?", None),
        ("resources.mem_gb=lots", "command line: resources.mem_gb: 'lots' is not a number", None),
    ],
)
def test_a_mistake_on_the_command_line_is_explained(
    load: Callable[..., Sweep], argument: str, message: str, hint: str | None
) -> None:
    with pytest.raises(SweepError) as caught:
        load("experiment: e", [argument])
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")
