"""docs/settings.md has every key of the configuration once, with its default, and no other."""

import importlib.util
import re
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from s5.config.families import FAMILIES
from s5.config.identity import to_dict
from s5.config.run import Config

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "settings.md"
KEY = re.compile(r"^\| `([A-Za-z_.]+)`( \*)? \| `([^`]*)` \| (.*?) \| (.+) \|$", re.MULTILINE)


def rows(heading: str) -> dict[str, Any]:
    """Return the keys and defaults of a section of the page, as YAML reads them."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {key: yaml.safe_load(default) for key, _, default, _, _ in KEY.findall(section)}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def test_the_page_has_every_key_with_its_default() -> None:
    general = {
        **rows("Top level"),
        **{k: v for name in ("data", "optim", "train", "wandb") for k, v in rows(name).items()},
    }
    common = rows("model, all families")
    for kind, family in FAMILIES.items():
        if not family.__module__.startswith("s5."):
            continue  # another test's
        own = rows(f"model={kind}")
        assert own and not own.keys() & common.keys()
        expected = flat(to_dict(Config(model=family(kind=kind))))
        assert expected.pop("model.kind") == kind
        shown = {**general, **common, **own}
        assert shown.keys() == expected.keys()
        for key, value in expected.items():
            rounded = float(f"{value:.4g}") if isinstance(value, float) else value
            assert shown[key] == (rounded.name if isinstance(rounded, Enum) else rounded), key


def test_the_page_is_what_the_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "scripts" / "settings_page.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.page() == PAGE.read_text(), "python scripts/settings_page.py"


def test_limits_and_choices_are_those_of_the_checks() -> None:
    text = PAGE.read_text()
    allowed = {(key, default): values for key, _, default, values, _ in KEY.findall(text)}
    assert allowed["model.dropout", "0.0"] == "number, at least 0 and below 1"
    assert allowed["optim.clip_norm", "null"] == "number, positive, or `null`"
    assert allowed["model.dt_max", "0.1"] == "number, at least `model.dt_min`"
    s4, lssl = (values for key, _, _, values, _ in KEY.findall(text) if key == "model.measure")
    assert "`lagt`" in s4 and "`lmu`" not in s4 and "`lmu`" in lssl
    assert re.search(r"\| `train\.devices` \* \|", text) and re.search(r"\| `train\.epochs` \|", text)
