"""docs/coming-from.md: every command is one of ours, and composes to a run whose model can read its data."""

import re
import shlex
from pathlib import Path

import pytest

from launch.cli.parser import load_verb, make_parser
from launch.compose.composer import Composer
from launch.compose.preflight import find_obstacles
from launch.sweepfile.sweep import load_sweep, single_run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coming-from.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line[:1] != "#"]
COMPOSER = Composer()


def test_every_origin_has_commands() -> None:
    assert len(BLOCKS) == len(re.findall(r"^## ", PAGE, re.MULTILINE)) == 7 and len(LINES) > 40
    for block in BLOCKS:  # each says what it translates
        assert block.startswith("# ")


@pytest.mark.parametrize("line", LINES)
def test_a_command_composes_to_a_run_that_can_train(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "launch":
        args = make_parser(words[1], load_verb(words[1])).parse(words[2:])
        if words[1] == "sweep":  # other tests compose the sweeps
            assert load_sweep(ROOT / args.file, args.overrides).runs
            return
        sweep = single_run(args.experiment, args.overrides)
    else:
        assert words[:3] == ["python", "-m", "s5"]
        first, *rest = words[3:]
        with_task = any(word.startswith(("experiment=", "pipeline=")) for word in words)
        # without a recipe, as `python -m s5` allows: the keys are those of the defaults
        sweep = single_run(first, rest) if with_task else single_run("pipeline/digits", words[3:])
    runs = COMPOSER.plan_all(sweep.runs)
    found = (error.message for error in find_obstacles(runs, {}))
    wrong = [message for message in found if not re.search("files are missing|not generated yet", message)]
    assert runs and wrong == [], wrong
