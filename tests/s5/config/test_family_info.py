"""`python -m s5 models`, and what it knows about every family."""

import json
from dataclasses import fields

import pytest

from s5.__main__ import main
from s5.config.compose import compose
from s5.config.families import FAMILIES
from s5.config.family_info import family_infos, family_of, recipe_models
from s5.config.search_path import CONF_DIR, experiment_names
from s5.errors import UserError

OWN = [kind for kind, family in FAMILIES.items() if family.__module__.startswith("s5.")]


@pytest.mark.parametrize("kind", OWN)
def test_a_family_is_described_with_its_paper_and_every_key(kind: str) -> None:
    (info,) = family_infos([kind])
    assert "arXiv" in info.source or "doi" in info.source
    assert info.about and not info.about.startswith(kind)
    own = {one.name for one in fields(FAMILIES[kind])} - {"kind"}
    assert {key.name for key in (*info.keys, *info.shared)} == own
    assert any("regular steps only" in limit for limit in info.limits) != FAMILIES[kind].takes_times
    assert json.loads(json.dumps(info.as_json()))["keys"].keys() == {key.name for key in info.keys}


def test_the_model_of_a_recipe_is_read_without_hydra() -> None:
    models = recipe_models()
    assert models.keys() == set(experiment_names())
    for recipe in ("digits/s5", "pendulum/s5"):
        assert compose([f"experiment={recipe}"]).model.kind == family_of(models[recipe])
    for file in (CONF_DIR / "model").glob("*.yaml"):
        assert family_of(file.stem) == file.stem.partition("-")[0]


def test_the_command_lists_families_and_shows_one_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["family", "recipes", "sizes", "times", "paper", "layer"]
    assert {row.split()[0] for row in rows} >= set(OWN)
    assert main(["models", "s4"]) == 0
    text = capsys.readouterr().out
    for part in ("arXiv:2111.00396", "model.n_ssm=1  (whole number, at least 1, or null)", "model=s4-listops"):
        assert part in text
    assert main(["models", "s5", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["keys"]["dt_min"]["default"] == 1e-3 and "lra/text" in row["recipes"]


def test_an_unknown_family_gets_a_hint() -> None:
    with pytest.raises(UserError, match="unknown family 's4x'; did you mean s4") as caught:
        family_infos(["s4x"])
    assert "the families are s5, s4" in (caught.value.hint or "")
    with pytest.raises(UserError) as caught:
        family_infos(["s4d-listops"])
    assert caught.value.hint == "`model=s4d-listops` is a file of the family s4d"
