"""Sweeps of a program with parameters of its own, without a recipe."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.cli import main
from launch.compose.composer import Composer
from launch.errors import LaunchError
from launch.store.state import Reason, State
from launch.store.store import Store
from launch.sweepfile.sweep import load_sweep

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, os, sys
from pathlib import Path
with open("result.json", "w") as file:
    json.dump({"score": len(sys.argv), "words": " ".join(sys.argv[1:])}, file)
print(Path(os.environ["LAUNCH_RUN_DIR"], "config.yaml").read_text())
"""


def write_sweep(folder: Path, **section: Any) -> Path:
    (folder / "tool.py").write_text(SCRIPT)
    file = folder / "tool.yaml"
    file.write_text(json.dumps({"command": [sys.executable, "tool.py", "{args}", "--s={seed}"], **section}))
    return file


def words_of(runs: Path) -> list[str]:
    """Return the arguments that each run of the sweep got."""
    return [json.loads(file.read_text())["words"] for file in sorted((runs / "tool").glob("*/result.json"))]


def test_a_script_that_knows_nothing_of_the_launcher(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs/examples/svm", "elsewhere")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    assert main(["sweep", "elsewhere/sweep.yaml", "seeds=2"]) == 0
    capsys.readouterr()
    assert main(["results", "svm", "--format", "csv"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert {"C", "kernel", "mean"} <= set(head.split(","))
    means = {tuple(row.split(",")[1:3]): row for row in rows}
    assert set(means) == {("0.01", "linear"), ("0.01", "rbf"), ("1", "linear"), ("1", "rbf")}
    assert all(view.state is State.SUCCEEDED for view in Store(runs).sweep("svm").views())


def test_every_parameter_reaches_the_program_and_its_config(runs: Path) -> None:
    section = {"base": {"text": "'two words'", "flag": True}, "grid": {"solver.name": ["lbfgs", "adam"], "n": [1.5]}}
    assert main(["sweep", str(write_sweep(runs.parent, **section, seeds=[7]))]) == 0
    assert sorted(words_of(runs)) == [
        f"--flag=true --n=1.5 --solver.name={name} --text=two words --s=7" for name in ("adam", "lbfgs")
    ]
    (log, _) = sorted((runs / "tool").glob("*/attempts/0/log.txt"))
    assert yaml.safe_load(log.read_text()) == {
        "seed": 7,
        "flag": True,
        "n": 1.5,
        "solver": {"name": "adam"},
        "text": "two words",
    }


def test_typed_again_nothing_runs_and_an_edit_runs_what_is_new(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(write_sweep(runs.parent, base={"b": 1}, grid={"a": [1, 2]}))]) == 0
    for same in ({"base": {"b": 1}, "grid": {"a": [1, 2]}}, {"grid": {"b": [1], "a": [2, 1]}}):
        capsys.readouterr()
        assert main(["sweep", str(write_sweep(runs.parent, **same))]) == 0
        assert "nothing to do: 2 runs succeeded before" in capsys.readouterr().err
    assert main(["sweep", str(write_sweep(runs.parent, grid={"b": [1], "a": [1, 2, 3]}))]) == 0
    assert len(words_of(runs)) == 3
    assert main(["sweep", str(runs.parent / "tool.yaml"), "b=5"]) == 0
    assert sum("--b=5" in words for words in words_of(runs)) == 3


def test_seeds_of_one_setting_are_one_row(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(write_sweep(runs.parent, grid={"a": [1, 2]}, seeds=3, metric="score"))]) == 0
    capsys.readouterr()
    assert main(["results", "tool"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[1:3] for row in rows] == [["1", "3"], ["2", "3"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["{a}", "x{a}y", "{seed}"], "1 x1y 4"),
        (["{{a}}", "${a}", "{a,b}", "{}"], "{a} ${a} {a,b} {}"),
        (["{cwd}/out", "nothing.here"], "CWD/out nothing.here"),
    ],
)
def test_the_words_of_a_command(runs: Path, words: list[str], expected: str) -> None:
    file = write_sweep(runs.parent, command=[sys.executable, "tool.py", *words], base={"a": 1}, seeds=[4])
    assert main(["sweep", str(file)]) == 0
    assert words_of(runs) == [expected.replace("CWD", str(runs.parent))]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"command": ["x", "{alhpa}"], "base": {"alpha": 1}},
            "{alhpa} is not a parameter of this run; did you mean alpha?",
        ),
        ({"command": ["x", "{b}"]}, "{b} is not a parameter of this run: seed, cwd"),
        ({"command": ["x"], "base": {"a": 1, "a.b": 2}}, "a.b and a are both set, and one is inside the other"),
        ({"command": ["x"], "base": {"~a": None}}, "a parameter of a command is set as NAME=VALUE"),
        ({"command": ["x"], "grid": {"seed": [1]}}, "seed cannot be set here"),
        ({"grid": {"a": [1]}}, "experiment is missing"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, section: dict[str, Any], message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(json.dumps(section))
    with pytest.raises(LaunchError) as caught:
        Composer().plan_all(load_sweep(file).runs)
    assert message in caught.value.message
    assert str(file) in caught.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"score": 1, "curve": [1, 2]}', "curve is a list; a command writes numbers by name"),
        ('{"metrics": {"a": {"b": 1}}}', "a is a mapping"),
        ("[1, 2]", "it has no numbers"),
        ("0.5", "it has no numbers"),
        ("not json", "not JSON"),
    ],
)
def test_a_result_of_another_form_fails_with_what_is_allowed(runs: Path, content: str, message: str) -> None:
    code = f"open('result.json', 'w').write({content!r})"
    file = write_sweep(runs.parent, command=[sys.executable, "-S", "-c", code.replace("{", "{{").replace("}", "}}")])
    assert main(["sweep", str(file)]) == 1
    (view,) = Store(runs).sweep("tool").views()
    assert (view.state, view.reason) == (State.FAILED, Reason.CRASH)
    assert message in (view.message or "")


@pytest.mark.parametrize(
    ("content", "metrics"),
    [
        ('{"score": 1, "lr": NaN, "note": "ok", "done": true}', {"score": 1, "lr": None}),
        ('{"metrics": {"test/mse": 0.25}}', {"test/mse": 0.25}),
        ('{"version": 1, "metrics": {"test/loss": 2}}', {"test/loss": 2}),
    ],
)
def test_a_result_of_plain_numbers_counts(runs: Path, content: str, metrics: dict[str, float | None]) -> None:
    code = f"open('result.json', 'w').write({content!r})".replace("{", "{{").replace("}", "}}")
    assert main(["sweep", str(write_sweep(runs.parent, command=[sys.executable, "-S", "-c", code]))]) == 0
    (file,) = (runs / "tool").glob("*/result.json")
    assert json.loads(file.read_text())["metrics"] == metrics


def test_the_hint_after_a_failed_command_does_not_speak_of_a_config(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(write_sweep(runs.parent, command=["sh", "-c", "exit 2"]))]) == 1
    err = capsys.readouterr().err
    assert "config" not in err
    assert "`launch retry tool` runs them again" in err
    assert main(["logs", "tool"]) == 0


@pytest.mark.parametrize("section", ["base", "grid"])
def test_another_spelling_of_a_number_is_told(runs: Path, capsys: pytest.CaptureFixture[str], section: str) -> None:
    def sweep_of(value: str) -> str:
        text = value if section == "base" else f"[{value}]"
        file = runs.parent / "a.yaml"
        file.write_text(f"command: ['true', '{{args}}']\n{section}: {{alpha: {text}}}\n")
        return str(file)

    assert main(["sweep", sweep_of("1"), "--plan-only"]) == 0
    assert "warning" not in capsys.readouterr().err
    for same in ("1", "1e0", "1.0"):
        assert main(["sweep", sweep_of(same), "--dry-run"]) == 0
        out, err = capsys.readouterr()
        assert (" new" in out) is (same != "1")
        assert ("alpha: 1 when this run was submitted, 1.0 now: " in err) is (same != "1")
