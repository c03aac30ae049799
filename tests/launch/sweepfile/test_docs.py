"""Every example of docs/sweeps.md and every file in sweeps/ is valid."""

import re
import shlex
from pathlib import Path

import pytest

from launch.compose.composer import Composer
from launch.errors import LaunchError
from launch.specs.resources import Resources
from launch.sweepfile.blocks import TOP_KEYS
from launch.sweepfile.sweep import RETRY_DEFAULTS, load_sweep

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sweeps.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(# (\S+): ([^\n]+)\n.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ launch sweep (.+?)\s+# (\d+) runs?", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for text, name, _ in EXAMPLES:
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer()


def test_every_yaml_block_is_an_example() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") >= 20
    assert len(COMMANDS) == PAGE.count("$ launch sweep") >= 6


@pytest.mark.parametrize(("name", "promise"), [e[1:] for e in EXAMPLES], ids=[e[1] for e in EXAMPLES])
def test_example(folder: Path, composer: Composer, name: str, promise) -> None:
    if promise.startswith("error: "):
        with pytest.raises(LaunchError) as caught:
            composer.plan_all(load_sweep(folder / name).runs)
        assert caught.value.message == f"{folder / name}: {promise.removeprefix('error: ')}"
    else:
        sweep = load_sweep(folder / name)
        assert f"{len(composer.plan_all(sweep.runs))} run{'s' if len(sweep.runs) > 1 else ''}" == promise
        assert sweep.warnings == ()


@pytest.mark.parametrize(("words", "count"), COMMANDS)
def test_command_line(folder: Path, composer: Composer, words, count) -> None:
    name, *overrides = shlex.split(words)
    assert len(composer.plan_all(load_sweep(folder / name, overrides).runs)) == int(count)


def test_every_key_is_explained() -> None:
    keys = [*TOP_KEYS, *RETRY_DEFAULTS, *Resources().to_json()]
    assert [key for key in keys if not re.search(rf"\b{key}\b", PAGE)] == []


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_sweep(file, composer: Composer) -> None:
    sweep = load_sweep(file)
    assert composer.plan_all(sweep.runs)
    assert sweep.warnings == ()
    header = file.read_text().partition("\nexperiment")[0]
    for word in ("Paper:", "Command: launch sweep sweeps/", "Cost:", "Score:"):
        assert word in header, f"the header of {file.name} does not state {word}"
