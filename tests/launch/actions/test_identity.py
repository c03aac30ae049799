"""A run is its configuration and its seed: edits of a sweep file that change neither execute nothing again."""

import json
import random
import statistics
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.compose import composer
from launch.errors import LaunchError
from launch.store.cancel_mark import write_cancelled
from launch.store.state import State
from s5.config.search_path import conf_dirs
from tests.launch.edited_sweep import EditedSweep

# Spellings of values that a sweep file may vary; the recipe's own is the first of each key.
KEYS: dict[str, dict[str, list[Any]]] = {
    "optim.lr": {"0.01": [0.01, "1e-2", "0.010"], "0.001": [0.001, "1e-3", "0.0010"], "0.003": [3e-3, "3.0e-3"]},
    "model.dropout": {"0.1": [0.1, "1e-1"], "0.0": [0, 0.0, "0"], "0.25": [0.25, "2.5e-1"]},
    "model.bidirectional": {"False": [False, "no", "false", "off"], "True": [True, "yes", "on", "true"]},
    "train.epochs": {"25": [25, "25"], "7": [7, "7"], "9": [9, "+9"]},
    "optim.weight_decay": {"own": [], "0.02": [0.02, "2e-2"], "0.07": [0.07, ".07"]},
}
EDITS = 30


@pytest.fixture
def runs(tmp_path: Path) -> EditedSweep:
    return EditedSweep(tmp_path)


Points = dict[str, list[str]]


def draw(rng: random.Random) -> Points:
    """Draw what a sweep varies: some keys, each with some of its values that are not the recipe's."""
    keys = rng.sample(sorted(KEYS), rng.randint(1, 3))
    return {key: rng.sample(list(KEYS[key])[1:], rng.randint(1, len(KEYS[key]) - 1)) for key in keys}


def spelt(rng: random.Random, key: str, value: str) -> Any:
    return rng.choice(KEYS[key][value])


def axis(rng: random.Random, key: str, values: list[str]) -> Any:
    """Write the values of a key as a list in any order, or as Hydra's text."""
    found = [spelt(rng, key, value) for value in rng.sample(values, len(values))]
    texts = [str(value).lower() for value in found]
    return rng.choice([found, found, f"choice({','.join(texts)})", ",".join(texts)])


def nested(rng: random.Random, section: dict[str, Any]) -> dict[str, Any]:
    """Write dotted keys in any order, some as mappings."""
    keys = rng.sample(list(section), len(section))
    plain: dict[str, Any] = {}
    for key in keys:
        group, _, last = key.partition(".")
        if rng.random() < 0.5 and not any(other.startswith(f"{group}.") for other in plain):
            plain.setdefault(group, {})[last] = section[key]
        else:
            plain[key] = section[key]
    return plain


def written(rng: random.Random, points: Points, seeds: int, folder: Path) -> str:
    """Write a sweep file with these runs in one of many ways."""
    sections: dict[str, dict[str, Any]] = {"base": {}, "grid": {}}
    for key, values in points.items():
        one = len(values) == 1 and rng.random() < 0.6
        sections["base" if one else "grid"][key] = spelt(rng, key, values[0]) if one else axis(rng, key, values)
    others = [key for key in KEYS if key not in points and key != "optim.weight_decay"]
    for key in rng.sample(others, min(2, len(others))):
        own = next(iter(KEYS[key]))  # the recipe's own value, said once more
        place = rng.choice(["base", "grid", "nowhere"])
        if place != "nowhere":
            sections[place][key] = [spelt(rng, key, own)] if place == "grid" else spelt(rng, key, own)
    text: dict[str, Any] = {"experiment": rng.choice(["digits/s5", ["digits/s5"]])}
    text["seeds"] = rng.choice([seeds, list(range(seeds)), list(reversed(range(seeds)))])
    split = rng.choice([key for key, values in points.items() if len(values) > 1] or [""])
    if split in sections["grid"] and rng.random() < 0.5:
        del sections["grid"][split]
        blocks: list[dict[str, Any]] = []
        for value in rng.sample(points[split], len(points[split])):
            name = {"name": f"b{rng.randint(0, 999)}-{len(blocks)}"} if rng.random() < 0.5 else {}
            blocks.append({**name, "base": {split: spelt(rng, split, value)}})
        text["blocks"] = blocks
    text |= {name: nested(rng, section) for name, section in sections.items() if section}
    if "blocks" not in text and len(sections["grid"]) == 1 and rng.random() < 0.3:
        ((key, _),) = sections["grid"].items()
        values = points.get(key) or [next(iter(KEYS[key]))]
        text["list"] = [{key: spelt(rng, key, value)} for value in values]
        del text["grid"]
    if rng.random() < 0.3:
        (folder / "inner.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
        return "include: inner.yaml\n"
    return yaml.safe_dump({key: text[key] for key in rng.sample(list(text), len(text))}, sort_keys=False)


def configurations(points: Points, seeds: int) -> set[tuple[object, ...]]:
    """Return the runs of a sweep as the values of all keys and the seed."""
    own = {key: [next(iter(values))] for key, values in KEYS.items()} | points
    return set(product(*(own[key] for key in sorted(own)), range(seeds)))


def edits(seed: int) -> Iterator[random.Random]:
    for number in range(EDITS):
        yield random.Random(f"{seed} {number}")


@pytest.mark.parametrize("seed", [11])
def test_edits_that_change_no_configuration_execute_nothing(runs: EditedSweep, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    points, seeds = draw(rng), rng.randint(2, 3)
    runs.write(written(rng, points, seeds, tmp_path))
    assert runs.execute() == len(configurations(points, seeds))
    before = runs.numbers()
    assert all(n == seeds for n, _, _ in before)
    for number, edit in enumerate(edits(seed)):
        text = written(edit, points, seeds, tmp_path)
        runs.write(text)
        assert runs.execute() == 0, f"edit {number}:\n{text}"
        assert runs.numbers() == before, f"edit {number}:\n{text}"


@pytest.mark.parametrize("seed", [11])
def test_edits_that_change_configurations_execute_exactly_the_new_runs(
    runs: EditedSweep, tmp_path: Path, seed: int
) -> None:
    known: set[tuple[object, ...]] = set()
    for number, edit in enumerate(edits(seed)):
        points, seeds = draw(edit), edit.randint(1, 3)
        text = written(edit, points, seeds, tmp_path)
        runs.write(text)
        new = configurations(points, seeds) - known
        assert runs.execute() == len(new), f"edit {number}:\n{text}"
        known |= new
    assert len(set(runs.executed)) == len(runs.executed) == len(known)


def test_a_number_and_its_deviation_count_each_seed_once(runs: EditedSweep) -> None:
    runs.write("{experiment: digits/s5, seeds: 4, base: {optim.lr: 1e-3}}")
    assert runs.execute() == 4
    runs.write("{experiment: digits/s5, seeds: 6, grid: {model.dropout: [0.1], optim.lr: [0.001]}}")
    assert runs.execute() == 2
    (row,) = runs.results()
    assert row.seeds == [0, 1, 2, 3, 4, 5]
    values = [int(identity[:6], 16) / 0x1000000 for identity in runs.executed]
    assert row.std == pytest.approx(statistics.stdev(values))


def test_the_newest_file_names_the_settings_and_the_folder_keeps_its_name(runs: EditedSweep) -> None:
    runs.write("{experiment: digits/s5, grid: {optim.lr: [1e-3]}}")
    runs.execute()
    (first,) = runs.sweep.views()
    runs.write("{experiment: digits/s5, grid: {model.dropout: [0.1]}, base: {optim.lr: 0.001}}")
    runs.execute()
    (second,) = runs.sweep.views()
    assert (second.run_id, second.run_dir) == (first.run_id, first.run_dir)
    assert (first.settings, second.settings) == ({"optim.lr": 0.001}, {"model.dropout": 0.1})


def test_a_run_that_has_not_ended_well_keeps_its_state_under_another_name(runs: EditedSweep) -> None:
    runs.write("{experiment: digits/s5, seeds: 2, grid: {optim.lr: [1e-3]}}")
    first = runs.submit()
    write_cancelled(first.views[0].run_dir, 1)
    runs.write("{experiment: digits/s5, seeds: [1, 0], base: {optim.lr: 0.001}}")
    again = runs.submit()
    assert {view.seed: view.state for view in again.views} == {0: State.CANCELLED, 1: State.PLANNED}
    assert {view.run_id for view in again.views} == {view.run_id for view in first.views}
    assert not again.new


def test_only_matches_the_stored_name_and_the_name_of_today(runs: EditedSweep) -> None:
    runs.write("{experiment: digits/s5, seeds: 2, grid: {optim.lr: [1e-3]}}")
    runs.execute()
    runs.write("{experiment: digits/s5, seeds: 2, grid: {model.dropout: [0.1]}, base: {optim.lr: 1e-3}}")
    for word in ("digits-s5-lr=0.001-s0-*", "digits-s5-dropout=0.1-s0-*", "dropout=0.1"):
        assert runs.execute(only=word) == 0
    with pytest.raises(LaunchError, match="matches none"):
        runs.submit(only="lr=0.001")


def test_a_recipe_of_another_name_and_the_same_values_is_the_same_run(
    runs: EditedSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "conf"
    (own / "experiment" / "mine").mkdir(parents=True)
    recipe = (conf_dirs()[0] / "experiment" / "digits" / "s5.yaml").read_text()
    (own / "experiment" / "mine" / "copy.yaml").write_text(recipe.replace("recipe: digits/s5", "recipe: mine/copy"))
    folders = [*conf_dirs(), own]
    monkeypatch.setattr(composer, "conf_dirs", lambda: folders)
    runs.write("{experiment: digits/s5, seeds: 2}")
    assert runs.execute() == 2
    runs.write("{experiment: mine/copy, seeds: 2}")
    assert runs.execute() == 0
    assert [(row.experiment, row.seeds) for row in runs.results()] == [("mine/copy", [0, 1])]
    runs.write("{experiment: [digits/s5, mine/copy], seeds: 3}")
    assert runs.execute() == 1
    assert [row.seeds for row in runs.results()] == [[0, 1, 2]]


def test_two_runs_with_the_same_digits_are_two_runs(runs: EditedSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.compose.run_id.identity_digits", lambda identity: "12345678")
    runs.write("{experiment: digits/s5, grid: {optim.lr: [1e-3]}}")
    assert runs.execute() == 1
    runs.write("{experiment: digits/s5, grid: {optim.lr: [2e-3]}}")
    assert runs.execute() == 1
    runs.write("{experiment: digits/s5, grid: {model.dropout: [0.1]}, base: {optim.lr: 2e-3}}")
    assert runs.execute() == 0


COMMANDS = """
experiment: digits/s5
seeds: 2
blocks:
  - {{name: {first}, command: [echo, one], base: {{optim.lr: {lr}}}}}
  - {{name: {second}, after: {{{first}: [seed]}}, command: [echo, two]}}
"""


def test_a_command_is_its_words_and_what_comes_before_it(runs: EditedSweep) -> None:
    runs.write(COMMANDS.format(first="one", second="two", lr="1e-3"))
    assert runs.execute() == 4
    runs.write(COMMANDS.format(first="erste", second="zweite", lr="0.001"))
    assert runs.execute() == 0
    assert {view.settings["block"] for view in runs.sweep.views()} == {"erste", "zweite"}
    runs.write(COMMANDS.format(first="one", second="two", lr="2e-3"))
    assert runs.execute() == 4, "the second command may read what the first has left"


def test_a_damaged_record_is_no_reason_to_run_again(runs: EditedSweep) -> None:
    runs.write("{experiment: digits/s5, grid: {optim.lr: [1e-3]}}")
    runs.execute()
    (view,) = runs.sweep.views()
    Path(view.run_dir, "run.json").write_text("{")
    runs.write("{experiment: digits/s5, base: {optim.lr: 1e-3}}")
    assert runs.execute() == 0
    assert json.loads(Path(view.run_dir, "run.json").read_bytes())["overrides"] == ["optim.lr=0.001"]
