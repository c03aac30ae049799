"""`pipeline=NAME` on the command line of the launcher and in sweep files: the same runs as by keys or by Hydra."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from launch.compose.composer import Composer
from launch.compose.run import Run
from launch.errors import LaunchError
from launch.sweepfile.sweep import load_sweep, single_run
from s5.config.compose import compose
from s5.config.identity import science_hash, to_dict

COMPOSER = Composer()
WORDS = ("model=s4-digits", "optim.lr=0.002")


def one(task: str, *words: str) -> Run:
    (run,) = COMPOSER.plan_all(single_run(task, words).runs)
    return run


def swept(tmp_path: Path, text: str, words: Sequence[str] = ()) -> list[Run]:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    return COMPOSER.plan_all(load_sweep(file, words).runs)


def test_a_run_is_one_run_however_its_pipeline_is_said(tmp_path: Path) -> None:
    run = one("pipeline=digits", *WORDS)
    assert run.record.experiment == "pipeline/digits" and run.record.run_id.startswith("pipeline-digits-s0-")
    keys = ("data.name=digits", "train.batch_size=32", "train.eval_batch_size=128")
    found = {
        run.record.science_hash,
        one("pipeline/digits", *WORDS).record.science_hash,
        one(WORDS[0], "pipeline=digits", WORDS[1]).record.science_hash,
        science_hash(to_dict(compose(["pipeline=digits", *WORDS]))),
        science_hash(to_dict(compose([*WORDS, *keys]))),
        swept(tmp_path, "pipeline: digits\nbase: {model: s4-digits, optim.lr: 0.002}")[0].record.science_hash,
    }
    assert len(found) == 1


def test_a_recipe_is_named_as_for_python() -> None:
    by_python = one("experiment=digits/s5", *WORDS).record
    assert (by_python.experiment, by_python.science_hash) == ("digits/s5", one("digits/s5", *WORDS).record.science_hash)
    changed = one("digits/s5", "pipeline=mnist5k")
    assert (changed.record.experiment, changed.config["data"]["name"]) == ("digits/s5", "mnist5k")


def test_a_sweep_over_pipelines(tmp_path: Path) -> None:
    text = "pipeline: [digits, mnist5k]\ngrid: {model: [s4, lru]}\n"
    runs = swept(tmp_path, text)
    assert [(run.record.experiment, run.config["model"]["kind"]) for run in runs] == [
        *(("pipeline/digits", kind) for kind in ("s4", "lru")),
        *(("pipeline/mnist5k", kind) for kind in ("s4", "lru")),
    ]
    fewer = swept(tmp_path, text, ["pipeline=fashion_mnist"])
    assert {run.record.experiment for run in fewer} == {"pipeline/fashion_mnist"} and len(fewer) == 2
    (named,) = swept(tmp_path, "base: {model: lru}", ["pipeline=digits"])
    assert (named.record.experiment, named.config["model"]["kind"]) == ("pipeline/digits", "lru")
    varied = swept(tmp_path, "experiment: digits/s5\ngrid: {pipeline: [digits, mnist5k]}\n")
    assert [run.config["data"]["name"] for run in varied] == ["digits", "mnist5k"]


@pytest.mark.parametrize(
    ("text", "words", "message", "hint"),
    [
        ("pipeline: digit", (), "x.yaml: pipeline: unknown pipeline 'digit'; did you mean digits?", "the pipelines"),
        ("pipeline: 3", (), "x.yaml: pipeline: 3 is not the name of a pipeline", "such as mnist"),
        ("experiment: digits/s5\npipeline: cifar", (), "x.yaml: pipeline: experiment says the data", "under base"),
        ("experiment: digits/s5", ["seedss=3"], "command line: seedss: unknown key; did you mean seeds?", "also seeds"),
        ("experiment: digits/s5", ["gpus=1"], "unknown key; did you mean resources.gpus_per_node?", "experiment and"),
        ("experiment: digits/s5", ["lr=1"], "command line: lr: unknown key; did you mean optim.lr?", None),
        ("experiment: digits/s5", ["model=[s5,lru]"], "command line: model: s5,lru are several values", "grid: {model"),
        ("experiment: digits/s5\nbase: {seeds: 3}", (), "x.yaml: base.seeds: unknown key of a run", "next to base"),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, text: str, words: Sequence[str], message: str, hint: str) -> None:
    with pytest.raises(LaunchError) as caught:
        swept(tmp_path, text, words)
    assert message in caught.value.message and (hint is None or hint in (caught.value.hint or ""))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=s4", "optim.lr=1"], "the experiment is missing"),
        (["experiment=digits/s5,lra/text"], "digits/s5, lra/text are several experiments"),
        (["digits/s5", "experiment=lra/text"], "the experiment is named twice"),
        (["pipeline=[digits,cifar]"], "pipeline: several values on the command line"),
    ],
)
def test_a_run_has_one_task(words: list[str], message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        single_run(words[0], words[1:])
