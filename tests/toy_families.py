"""Two model families without layers: one with its own key, and one that contains another model."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from s5.config import search_path
from s5.config.families import FAMILIES, register_family
from s5.config.fields import REQUIRED
from s5.config.model import ModelConfig


@dataclass(kw_only=True)
class ToyConfig(ModelConfig):
    """A family with one key that S5 lacks."""

    kind: str = "toy"
    forget: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.forget < 1:
            raise ValueError(f"model.forget={self.forget} must lie in (0, 1)")


@dataclass(kw_only=True)
class OuterConfig(ModelConfig):
    """A family that contains another model as its layers."""

    kind: str = "outer"
    layer: ModelConfig = REQUIRED
    expand: int = 2


FILES = {
    "model/outer.yaml": "defaults:\n  - outer_schema\n  - layer: s5\n  - _self_\n",
    "model/toy-digits.yaml": "defaults:\n  - toy\n  - _self_\nforget: 0.25\nn_layers: 1\n",
    "experiment/toys/wrong_kind.yaml": "# @package _global_\nmodel: {kind: toy}\n",
    "experiment/toys/foreign.yaml": (
        "# @package _global_\ndefaults: [{override /model: toy}, _self_]\nmodel: {n_blocks: 2}\n"
    ),
}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the families and their files until the test ends, as a plug-in does.

    Args:
        folder: The folder for the files.
        monkeypatch: The fixture that undoes the registration.
    """
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(search_path, "_added", [])
    search_path.add_conf_dir(folder)
    for family in (ToyConfig, OuterConfig):
        monkeypatch.delitem(FAMILIES, family.kind, raising=False)
        register_family(family)
        monkeypatch.setitem(FAMILIES, family.kind, FAMILIES.pop(family.kind))
