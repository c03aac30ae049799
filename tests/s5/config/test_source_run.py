"""`train.init_from`: finding the source run, and checking its identity."""

import json
import shutil
from pathlib import Path

import pytest

from s5.config.compose import compose
from s5.config.config_file import config_text, read_config
from s5.config.identity import science_hash, science_subset, to_dict
from s5.config.source_run import find_source, locate_source
from s5.errors import UserError


def make_run(folder: Path, *overrides: str, finished: bool = True) -> tuple[Path, str]:
    folder.mkdir(parents=True)
    config = compose(["experiment=digits/s5", *overrides])
    (folder / "config.yaml").write_text(config_text(config))
    if finished:
        (folder / "result.json").write_text("{}")
    return folder, science_hash(to_dict(config))


def test_a_path_becomes_absolute_and_gets_the_hash_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, source = make_run(tmp_path / "runs" / "a", "seed=3")
    monkeypatch.chdir(tmp_path)
    config = compose(["experiment=digits/s5", "train.init_from=runs/a", "train.init_skip=[head*]"])
    assert (config.train.init_from, config.train.init_hash) == (str(tmp_path / "runs" / "a"), source)
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert read_config(tmp_path) == config


def test_the_source_is_science_and_its_place_is_not(tmp_path: Path) -> None:
    first, _ = make_run(tmp_path / "first")
    other, _ = make_run(tmp_path / "other", "seed=1")
    moved = shutil.copytree(first, tmp_path / "moved")

    def identity(*overrides: str) -> str:
        return science_hash(to_dict(compose(["experiment=digits/s5", *overrides])))

    plain, from_first = identity(), identity(f"train.init_from={first}")
    assert identity(f"train.init_from={moved}") == from_first
    assert len({plain, from_first, identity(f"train.init_from={other}")}) == 3
    assert identity(f"train.init_from={first}", "train.init_skip=[head*]") not in (plain, from_first)


def test_without_it_nothing_enters_the_identity() -> None:
    train = science_subset(to_dict(compose(["experiment=digits/s5"])))["train"]
    assert not [key for key in train if key.startswith("init")]


@pytest.mark.parametrize("key", ["train.init_skip=[head*]", "train.init_hash=abc"])
def test_the_other_keys_need_it(key: str) -> None:
    with pytest.raises(UserError, match=r"need train\.init_from, which is null"):
        compose(["experiment=digits/s5", key])


def test_what_is_not_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.init_from=nowhere: no such run directory") as caught:
        find_source("nowhere")
    assert "directory of a finished run" in (caught.value.hint or "")
    unfinished, identity = make_run(tmp_path / "unfinished", finished=False)
    for look in (lambda: find_source(str(unfinished)), lambda: locate_source(str(unfinished), identity, tmp_path)):
        with pytest.raises(UserError, match=r"unfinished has no result\.json: its run has not finished"):
            look()


def test_another_run_in_its_place_is_refused(tmp_path: Path) -> None:
    run_dir, identity = make_run(tmp_path / "run")
    words = ["experiment=digits/s5", f"train.init_from={run_dir}", "train.init_hash=abc"]
    for look in (lambda: compose(words), lambda: locate_source(str(run_dir), "abc", tmp_path)):
        with pytest.raises(UserError, match=f"has the science hash {identity}, but train.init_hash=abc"):
            look()
    with pytest.raises(UserError, match=r"the hash of that run is missing \(train\.init_hash\)"):
        locate_source(str(run_dir), None, tmp_path)


def test_the_run_of_a_block_is_found_by_its_hash(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"s{seed}", f"seed={seed}") for seed in range(3)]
    (tmp_path / "after.json").write_text(json.dumps({"pretrain": [str(run_dir) for run_dir, _ in runs]}))
    for run_dir, identity in runs:
        assert locate_source("pretrain", identity, tmp_path) == run_dir
    with pytest.raises(UserError, match=r"neither an absolute path nor a block in .*; did you mean pretrain\?"):
        locate_source("pretain", "abc", tmp_path)
    with pytest.raises(UserError, match=r"but train\.init_hash=abc"):
        locate_source("pretrain", "abc", tmp_path)
    with pytest.raises(UserError, match="neither an absolute path nor a block"):
        locate_source("pretrain", "abc", tmp_path / "no attempt")
