"""Plug-ins with a user's data, models and recipes: they are found, checked, part of a run's identity, and copied."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from safetensors import safe_open

import s5
from s5.catalog.fingerprint import fingerprint_of, full_hash_of
from s5.config.compose import compose
from s5.config.identity import science_hash, to_dict
from s5.config.plugins import content_hash, load_plugins
from s5.data import load
from s5.data.dataset import Dataset
from s5.errors import UserError
from s5.models.sequence_model import make_model
from s5.plugins import Head, PluginDataset, read_csv
from s5.training.task import Task, check_same_task
from tests.plugins.command import EXAMPLES, SMALL, launch


def test_own_csv_files_are_trained_through_the_launcher(walks: Path, own: Path, tmp_path: Path) -> None:
    (tmp_path / "walks.yaml").write_text(
        f"plugins: own\nexperiment: walks/s5\nbase: {{data.root: {walks}, train.epochs: 3, model.d_model: 8}}\n"
    )
    dry = launch(tmp_path, "sweep", "walks.yaml", "--dry-run").stdout
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*"))
    launch(tmp_path, "sweep", "walks.yaml")
    (run,) = (tmp_path / "runs/walks").glob("walks-s5-*")
    assert run.name in dry
    before = json.loads((run / "result.json").read_bytes())["data"]
    assert before["files"] == sum(file.is_file() for file in walks.rglob("*"))
    copies = list((tmp_path / "runs/.plugins").glob("*/own/plugin.py"))
    assert len(copies) == 1
    first = walks / "fast" / "00.csv"
    text = first.read_text()
    first.write_text(text.replace("1", "2"))
    again = launch(tmp_path, "sweep", "walks.yaml").stderr
    assert f"data changed since: walks ({walks})" in again and "nothing to do" in again
    scores = [sys.executable, "-m", "s5", "evaluate", str(run), "--json"]
    refused = subprocess.run(scores, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"the files in {walks} are not those that the run was trained on" in refused.stderr
    (tmp_path / "others.yaml").write_text((tmp_path / "walks.yaml").read_text())
    assert "--reuse" not in launch(tmp_path, "sweep", "others.yaml", "--dry-run").stderr
    (tmp_path / "empty").mkdir()
    for root, why in {"empty": "empty has none of its files", "null": "data.root is not set"}.items():
        told = launch(tmp_path, "sweep", "others.yaml", f"data.root={root}", "--reuse", "--dry-run", code=2)
        assert why in told.stderr and "not reused" in told.stderr and "result is used" not in told.stderr
    first.write_text(text)
    assert "`--reuse` uses its result" in launch(tmp_path, "sweep", "others.yaml", "--dry-run").stderr
    assert "data changed" not in launch(tmp_path, "sweep", "walks.yaml").stderr
    (own / "plugin.py").write_text((own / "plugin.py").read_text() + "# edited\n")
    rows = json.loads(launch(tmp_path, "results", "walks", "--format", "json").stdout)
    assert rows[0]["mean"] is not None
    # By its copy, though the folder has changed.
    told = json.loads(subprocess.run(scores, capture_output=True, text=True, check=True).stdout)
    assert told["test/accuracy"] == pytest.approx(rows[0]["mean"])
    assert "1 new" in launch(tmp_path, "sweep", "walks.yaml", "--dry-run").stdout  # other code, another run


def test_show_composes_a_recipe_of_a_plug_in_from_the_copy_of_the_run(own: Path, tmp_path: Path) -> None:
    (tmp_path / "walks.yaml").write_text(
        "plugins: own\nexperiment: walks/s5\nbase: {model.d_model: 9, data.root: csv}\ncommand: ['true']\n"
    )
    launch(tmp_path, "sweep", "walks.yaml")
    shutil.rmtree(own)
    (run,) = (tmp_path / "runs/walks").glob("walks-s5-*")
    (copy,) = (tmp_path / "runs/.plugins").glob("*/own")
    shown = launch(tmp_path, "show", run.name).stdout
    assert f"walks/s5, seed 0, plug-in {copy}\n" in shown
    assert re.search(r"model\.d_model +9 +\(recipe: 16\)\n", shown) and "plugin_hash" not in shown
    assert set(json.loads(launch(tmp_path, "show", run.name, "--json").stdout)["differences"]) == {
        "model.d_model",
        "data.root",
    }
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/long.csv").write_bytes(bytes(300_000))

    def data_hash() -> str:
        told = launch(tmp_path, "show", run.name, "--hash-data").stdout
        return re.search(r"\ndata hash   sha256 ([0-9a-f]{64}), of the files as they are now\n", told)[1]

    before, sample = data_hash(), fingerprint_of([tmp_path / "csv"], prefix="")["sample"]
    (tmp_path / "csv/long.csv").write_bytes(bytes(100_000) + b"x" + bytes(199_999))  # a byte that no sample reads
    assert fingerprint_of([tmp_path / "csv"], prefix="")["sample"] == sample and data_hash() != before
    found = json.loads(launch(tmp_path, "show", run.name, "--hash-data", "--json").stdout)["data_hash"]
    assert found == full_hash_of([tmp_path / "csv"], prefix="") == data_hash()
    shutil.rmtree(tmp_path / "csv")
    assert "data hash   none: there are no raw files here" in launch(tmp_path, "show", run.name, "--hash-data").stdout
    shutil.rmtree(copy)
    shown = launch(tmp_path, "show", run.name).stdout
    assert "model.d_model=9" in shown
    assert f"(these are its overrides; the recipe cannot be composed here: plugins: {copy}: no such folder" in shown


def test_two_folders_of_data_are_not_one_run(walks: Path, own: Path, tmp_path: Path) -> None:
    shutil.copytree(walks, tmp_path / "fold2")
    (tmp_path / "folds.yaml").write_text(
        f"plugins: own\nexperiment: walks/s5\ngrid: {{data.root: [{walks}, {tmp_path / 'fold2'}]}}\n"
    )
    done = launch(tmp_path, "sweep", "folds.yaml", "--dry-run", code=2)
    assert "differ only in data.root" in done.stderr and "not part of a run's identity" in done.stderr
    (tmp_path / "lost.yaml").write_text("plugins: own\nexperiment: walks/s5\nbase: {data.root: wlaks}\n")
    done = launch(tmp_path, "sweep", "lost.yaml", "--dry-run", code=2)
    assert f"data.root={tmp_path}/wlaks: no such folder" in done.stderr


def test_the_training_side_alone_takes_a_plug_in(walks: Path, own: Path, tmp_path: Path) -> None:
    words = [f"plugins=[{own}]", "experiment=walks/s5", f"data.root={walks}", *SMALL, "model.d_state=8"]
    words[2] = "data.root=csv"
    command = [sys.executable, "-m", "s5", *words, "--run-dir", str(tmp_path / "run")]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "test/accuracy" in told.stdout
    score = [sys.executable, "-m", "s5", "evaluate", str(tmp_path / "run")]
    (tmp_path / "elsewhere" / "csv").mkdir(parents=True)  # what the relative folder would mean there
    again = subprocess.run(score, capture_output=True, text=True, check=False, cwd=tmp_path / "elsewhere")
    assert again.returncode == 0, again.stderr
    assert again.stdout.split() == told.stdout.split()[: len(again.stdout.split())]
    assert s5.load_run(tmp_path / "run").config.data.root == str(walks)


def test_identity_is_the_content_and_not_the_place(own: Path, tmp_path: Path) -> None:
    def hash_of(folder: Path) -> str:
        return science_hash(to_dict(compose([f"plugins=[{folder}]", "experiment=walks/s5"])))

    first = hash_of(own)
    moved = Path(shutil.copytree(own, tmp_path / "elsewhere" / "own"))
    assert hash_of(moved) == first
    (moved / "plugin.py").write_text((moved / "plugin.py").read_text() + "# edited\n")
    assert hash_of(moved) != first
    plain = science_hash(to_dict(compose(["experiment=digits/s5"])))
    assert "plugin" not in json.dumps(to_dict(compose(["experiment=digits/s5"]))["data"])
    assert plain == science_hash(to_dict(compose(["experiment=digits/s5", "plugins=[]"])))


def test_the_recipe_to_copy_trains_other_families(own: Path) -> None:
    assert compose([f"plugins=[{own}]", "experiment=walks/s5", "model=lru"]).model.kind == "lru"
    recipe = own / "conf/experiment/walks/s5.yaml"
    (recipe.parent / "other.yaml").write_text(recipe.read_text() + "model: {n_blocks: 2}\n")
    with pytest.raises(UserError, match="the family lru has no such key") as caught:
        compose([f"plugins=[{own}]", "experiment=walks/other", "model=lru"])
    assert "conf/model/s5-NAME" in str(caught.value.hint)


def test_a_run_stores_the_names_of_its_classes(walks: Path, own: Path, tmp_path: Path) -> None:
    text = (own / "plugin.py").read_text().replace('"fast", "turning"', '"turning", "fast"')
    (own / "plugin.py").write_text(text.replace("labels=[label for _, label", "labels=[file.parent.name for file, _"))
    words = ["experiment=walks/s5", f"data.root={walks}", *SMALL, "model.d_state=8"]
    trained = s5.train(s5.make_config(f"plugins=[{own}]", *words), tmp_path / "run")
    run = s5.load_run(trained.path)
    assert tuple(run.class_names) == tuple(trained.class_names) == ("slow", "turning", "fast")
    files = sorted(walks.rglob("*.csv"))
    inputs = [read_csv(file) for file in files]
    names = run.predict_classes(inputs)
    assert names.tolist() == [run.class_names[number] for number in run.predict(inputs).argmax(-1)]
    right = sum(
        n * s5.evaluate(run, split)[f"{split}/accuracy"] for split, n in (("train", 42), ("val", 9), ("test", 9))
    )
    assert np.sum(names == [file.parent.name for file in files]) == pytest.approx(right)
    s5.save_run_weights(run, tmp_path / "weights")
    with safe_open(tmp_path / "weights", framework="np") as file:
        assert json.loads(file.metadata()["class_names"]) == ["slow", "turning", "fast"]


def test_classes_in_another_order_are_refused() -> None:
    task = Task(d_input=2, n_classes=2, head="classification", vocabulary="", class_names=["up", "down"])
    other = Dataset(name="new", n_classes=2, length=3, d_input=2, splits={}, class_names=("down", "up"))
    with pytest.raises(
        UserError, match="the classes of new are down, up, but those of the training data were up, down"
    ):
        check_same_task("--data new", other, task)
    check_same_task("--data new", dataclasses.replace(other, class_names=()), task)
    check_same_task("--data new", other, dataclasses.replace(task, class_names=()))  # an old checkpoint


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "b")])
def test_each_class_has_a_name_of_its_own(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="class_names of x: 2 different names for 3 classes"):
        PluginDataset(name="x", load=print, n_classes=3, d_input=1, length=1, class_names=names)
    with pytest.raises(ValueError, match="a regression has no classes"):
        PluginDataset(name="x", load=print, n_classes=2, d_input=1, length=1, head=Head.regression, class_names=names)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("labels=[label for", "labels=[label + 1 for", "the label 3 is not a whole number from 0 to 2"),
        ("length=120", "length=50", r"steps; 1 to 50 are allowed"),
        ("d_input=2", "d_input=3", r"its shape is \(\d+, 2\); expected \(L, 3\)"),
        ("inputs=inputs,", "inputs=inputs[1:],", "59 sequences, but 60 labels"),
        ("read_csv(file)", "read_csv(file) * float('nan')", r"example 0 \(slow/00\.csv\): step 0, feature 0 is nan"),
        (
            "read_csv(file)",
            "read_csv(file) + 1.7e9",
            r"feature 0 is 1\d+.* to 1\d+.*, where float32 has one value in 128",
        ),
        ("read_csv(file)", "read_csv(file) * 1e39", "float32 cannot store"),
        (
            "inputs=inputs,",
            "inputs=[[['x', 1.0]]] * len(inputs),",
            r"example 0 \(slow/00\.csv\): not an array of numbers: could not",
        ),
        (
            "[label for _, label",
            "['slwo' for _, label",
            "'slwo' is not one of the class_names slow, .*did you mean slow",
        ),
        ("labels=[label for", "labels=[float(label) for", "the label 0.0 is not a whole number"),
        ("return Examples(", "return dict(", r"its `load` returned \['inputs', 'labels', 'names'\]"),
    ],
)
def test_faulty_data_are_told_with_their_place(walks: Path, own: Path, before: str, after: str, words: str) -> None:
    text = (own / "plugin.py").read_text()
    assert before in text
    (own / "plugin.py").write_text(text.replace(before, after).replace('name="walks"', f'name="walks{hash(after)}"'))
    load_plugins([str(own)])
    config = compose([f"plugins=[{own}]", "experiment=walks/s5", f"data.name=walks{hash(after)}", f"data.root={walks}"])
    with pytest.raises(Exception, match=words) as caught:
        load(config.data)
    assert type(caught.value).__name__ == "DataError"


def test_splits_share_the_classes_and_features_are_scaled(walks: Path, own: Path) -> None:
    config = compose([f"plugins=[{own}]", "experiment=walks/s5", f"data.root={walks}"])
    data = load(config.data)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 42, "val": 9, "test": 9}
    assert [np.bincount(split.labels).tolist() for split in data.splits.values()] == [[14] * 3, [3] * 3, [3] * 3]
    train = data.splits["train"]
    assert train.lengths.min() >= 40 and train.lengths.max() <= 120
    valid = np.arange(120) < train.lengths[:, None]
    scaled = ((train.inputs - train.offset) / train.full_scale)[valid]
    np.testing.assert_allclose([scaled.mean(0), scaled.std(0)], [[0, 0], [1, 1]], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import not_there", r"plugin.py, line 1: ModuleNotFoundError: No module named 'not_there'"),
        ("x = 1", r"has no PLUGIN = Plugin\(...\)"),
        ("def f(:\n", "SyntaxError"),
    ],
)
def test_a_faulty_plug_in_is_a_message(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/plugin.py").write_text(text)
    with pytest.raises(UserError, match=words):
        load_plugins([str(tmp_path / "bad")])
    told = launch(tmp_path, "run", "digits/s5", "--plugins", "bad", "--dry-run", code=2).stderr
    assert "Traceback" not in told and "plugins: " in told


def test_what_is_no_plug_in_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"the folder has no plugin.py"):
        load_plugins([str(tmp_path / "empty")])
    with pytest.raises(UserError, match=r"no such folder, and no such entry point of s5\.plugins"):
        load_plugins(["nowhere"])


def test_a_family_cannot_take_a_name_of_ours(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    text = (EXAMPLES / "gru/plugin.py").read_text().replace('"gru"', '"s5"')
    (tmp_path / "ours/plugin.py").write_text(text)
    with pytest.raises(UserError, match="the model family 's5' exists already"):
        load_plugins([str(tmp_path / "ours")])


def test_the_launcher_stays_free_of_jax(tmp_path: Path) -> None:
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy/plugin.py").write_text("import jax\nfrom s5.plugins import Plugin\nPLUGIN = Plugin()\n")
    told = launch(tmp_path, "run", "digits/s5", "--plugins", "heavy", "--dry-run", code=2).stderr
    assert "imports JAX when it is imported" in told


def test_a_changed_plug_in_changes_its_hash(own: Path) -> None:
    before = content_hash([str(own)])
    (own / "__pycache__").mkdir(exist_ok=True)
    (own / "__pycache__/x.pyc").write_bytes(b"compiled")
    assert content_hash([str(own)]) == before
    (own / "conf/experiment/walks/s5.yaml").write_text("# @package _global_\n")
    assert content_hash([str(own)]) != before


def test_an_own_family_trains(tmp_path: Path) -> None:
    config = compose([f"plugins=[{EXAMPLES / 'gru'}]", "experiment=digits/s5", "model=gru", *SMALL])
    assert config.model.kind == "gru"
    model = make_model(config.model, 1, 10, nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(2, 12, 1)).astype(np.float32)
    whole = model(x, train=False)
    state = model.initial_state(2)
    for chunk in (x[:, :5], x[:, 5:]):
        state, streamed = model.advance(state, chunk)
    np.testing.assert_allclose(streamed, whole, rtol=1e-5, atol=1e-6)
    told = launch(
        tmp_path, "run", "digits/s5", "model=gru", "--plugins", str(EXAMPLES / "gru"), *SMALL, "train.epochs=1"
    )
    assert "1 succeeded" in told.stderr + told.stdout


@pytest.mark.parametrize(("name", "sizes", "least"), [("japanese_vowels", 202, 0.9), ("basic_motions", 30, 0.9)])
def test_real_data_of_another_package_train(tmp_path: Path, name: str, sizes: int, least: float) -> None:
    pytest.importorskip("aeon", reason="aeon, which ships these data, has no release for this Python")
    config = s5.make_config(f"plugins=[{EXAMPLES / 'aeon'}]", f"experiment=aeon/{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # aeon's own, when it is imported
        data = load(config.data)
        assert len(data.splits["train"]) == sizes
        run = s5.train(config, tmp_path / name)
    assert run.metrics["test/accuracy"] >= least
