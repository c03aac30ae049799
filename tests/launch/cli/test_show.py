import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from launch.cli import main
from launch.store.state import Reason, State
from tests.launch.made_sweep import Made, make_sweep, run_id_of

CODE = """
import json, os
with open(os.path.join(os.environ["LAUNCH_ATTEMPT_DIR"], "result.json"), "w") as file:
    json.dump({"version": 1, "metrics": {"test/loss": 0.25}, "parameters": 1200}, file)
"""


@pytest.fixture
def shown(runs: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict]:
    """The text and the JSON of a run with two values that are not the recipe's."""
    file = runs.parent / "wide.yaml"
    file.write_text(
        json.dumps(
            {
                "experiment": "digits/s5",
                "base": {"model.dropout": 0.1, "model.d_model": 48},
                "grid": {"optim.lr": [3e-3]},
                "seeds": [5],
                "command": [sys.executable, "-S", "-c", CODE],
            }
        )
    )
    assert main(["sweep", str(file)]) == 0
    (run_id,) = (path.name for path in (runs / "wide").iterdir() if path.name.startswith("digits"))
    capsys.readouterr()
    assert main(["show", run_id[:-3]]) == 0
    text = capsys.readouterr().out
    assert main(["show", f"wide/{run_id}", "--json"]) == 0
    return text, json.loads(capsys.readouterr().out)


def test_a_run_is_shown_with_what_its_recipe_does_not_say(shown: tuple[str, dict], runs: Path) -> None:
    text, _ = shown
    lines = {line[:12].strip() or line.split()[0]: line[12:] for line in text.splitlines()}
    assert lines["recipe"] == "digits/s5, seed 5"
    assert re.search(r"optim\.lr +0\.003 +\(recipe: 0\.01\)", text)
    assert re.search(r"model\.d_model +48 +\(recipe: 64\)", text)
    assert "dropout" not in text.partition("command")[0]  # 0.1 is the recipe's own value
    assert lines["state"] == "SUCCEEDED"
    assert re.search(r"test/loss +0\.25\n +parameters +1200", text)
    assert re.search(r"attempts    0  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d +0:\d\d  success  on ", text)
    log = next(line.split()[1] for line in text.splitlines() if line.strip().startswith("log "))
    assert (runs / "wide") in Path(log).parents
    assert Path(log).is_file()


def test_as_json_a_run_has_its_whole_configuration_and_each_attempt(shown: tuple[str, dict]) -> None:
    _, found = shown
    assert found["differences"] == {
        "model.d_model": {"recipe": 64, "run": 48},
        "optim.lr": {"recipe": 0.01, "run": 0.003},
    }
    assert found["config"]["model.dropout"] == 0.1
    assert found["command"][0] == sys.executable
    (attempt,) = found["attempt_list"]
    assert (attempt["attempt"], attempt["reason"], attempt["exit_code"]) == (0, "success", 0)
    assert Path(attempt["snapshot_path"]).is_dir()


def test_each_attempt_tells_its_reason(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Made(state=State.FAILED, reason=Reason.NAN, message="the loss is \x1b[31mnan", attempts=2)
    make_sweep(runs, "s", [made])
    assert main(["show", run_id_of(made)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("nan: the loss is \\x1b[31mnan") == 3  # the state and both attempts, without the escape


def test_an_attempt_that_runs_is_not_called_one_without_an_end(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "s", [running := Made(state=State.RUNNING), lost := Made(state=State.LOST, seed=1)])
    assert main(["show", run_id_of(running)]) == 0
    printed = capsys.readouterr().out
    assert "  running  on " in printed and "no end recorded" not in printed
    assert main(["show", run_id_of(lost)]) == 0
    assert "no end recorded" in capsys.readouterr().out


def test_a_run_that_has_not_begun_or_whose_recipe_is_gone_is_shown_too(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(experiment="gone/recipe")
    make_sweep(runs, "s", [made])
    assert main(["show", run_id_of(made)]) == 0
    printed = capsys.readouterr().out
    assert "none: it has not been started yet" in printed
    assert "the recipe cannot be composed here" in printed


def test_a_config_that_cannot_be_read_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Made()
    sweep = make_sweep(runs, "s", [made])
    file = sweep.run_dir(run_id_of(made)) / "config.yaml"
    file.write_text("a: [1,\n")
    assert main(["show", run_id_of(made)]) == 2
    assert f"error: {file}: not YAML" in capsys.readouterr().err


def test_facts_that_have_parts_are_lines_of_text(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Made(state=State.SUCCEEDED, accuracy=0.5)
    sweep = make_sweep(runs, "s", [made])
    folder = sweep.run_dir(run_id_of(made))
    data = {"files": 1, "bytes": 12345, "newest": 86400 * 365.0, "sample": "0123456789abcdef" * 4}
    time = r"197[01]-\d\d-\d\d \d\d:\d\d"
    for facts, wanted in (
        ({"data": data}, rf"data  +1 file of 12,345 bytes, the newest of {time}, sample 01234567\n"),
        ({"data": {"rows": 3, "from": "a file"}}, r"data  +rows 3, from a file\n"),  # as a command may write it
        ({"init_from": {"run": "a-s0", "step": 7}}, r"init_from +run a-s0, step 7\n"),
    ):
        (folder / "result.json").unlink()
        (folder / "result.json").write_text(json.dumps({"version": 1, "metrics": {"test/accuracy": 0.5}} | facts))
        assert main(["show", run_id_of(made)]) == 0
        assert re.search(wanted, printed := capsys.readouterr().out), printed
        assert "{" not in printed


def test_the_whole_configuration_of_a_recipe_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "digits/s5", "model=lru", "optim.lr=0.25"]) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["optim"]["lr"] == 0.25 and values["model"]["r_max"] == 1.0 and values["data"]["name"] == "digits"
    assert main(["show", "pixel/smnist", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["name"] == "mnist"
    assert main(["show", "digits/s55", "seed=1"]) == 2
    assert "did you mean digits/s5?" in capsys.readouterr().err
    walks = str(Path(__file__).parents[3] / "docs/examples/walks")
    assert main(["show", "walks/s5", "--plugins", walks]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["name"] == "walks"


@pytest.mark.parametrize("verb", [["run", "digits/s5"], ["sweep", "small.yaml"], ["show", "digits/s5"]])
def test_hydra_s_option_for_the_configuration_names_the_command(
    verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb, "--cfg", "job"]) == 2
    assert "`launch show EXPERIMENT key=value …` prints the whole configuration" in capsys.readouterr().err
