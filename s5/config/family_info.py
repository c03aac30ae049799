"""What is known about a model family: its paper, its keys, what it reads, and the recipes that train it."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from s5.config.families import FAMILIES, S5Config
from s5.config.key_info import KeyInfo, key_infos
from s5.config.model import ModelConfig
from s5.config.search_path import conf_dirs, experiment_names, group_options
from s5.errors import UserError, shortened, unknown

_MODEL = re.compile(r"^\s*- override /model: *(\S+)", re.MULTILINE)
_SHARED = tuple(one.name for one in fields(ModelConfig))


@dataclass(frozen=True, kw_only=True)
class FamilyInfo:
    """The description of a family.

    Attributes:
        name: The family's name, as in `model=NAME`.
        about: One sentence about it.
        source: Its paper; "" if its module names none.
        limits: What it cannot read, and what to choose instead; empty for a family that reads everything.
        models: The files with its sizes for a task, as in `model=NAME-TASK`.
        recipes: The recipes that train it.
        keys: The keys that only this family has.
        shared: The keys of all families.
    """

    name: str
    about: str
    source: str
    limits: tuple[str, ...]
    models: tuple[str, ...]
    recipes: tuple[str, ...]
    keys: tuple[KeyInfo, ...]
    shared: tuple[KeyInfo, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the description as plain values; the keys by name, without the texts that are made for people."""
        plain = asdict(self)
        for part in ("keys", "shared"):
            plain[part] = {key.name: _plain_key(key) for key in getattr(self, part)}
        return plain


def _plain_key(key: KeyInfo) -> dict[str, Any]:
    return {"default": key.value, "allowed": _bare(key.allowed), "meaning": _bare(key.meaning), "science": key.science}


def _bare(text: str) -> str:
    return text.replace("`", "")


def family_infos(names: Sequence[str] = ()) -> list[FamilyInfo]:
    """Return the description of each family.

    Args:
        names: The families that are wanted; all if empty.

    Raises:
        UserError: If there is no family of a name.
    """
    for name in names:
        if name not in FAMILIES:
            known = f"the families are {shortened(FAMILIES, name)}; --plugins adds those of a plug-in"
            kind = family_of(name)
            hint = f"`model={name}` is a file of the family {kind}" if name in group_options("model") else known
            raise UserError(unknown("family", name, FAMILIES), hint=hint)
    recipes = recipe_models()
    return [_describe(name, recipes) for name in names or FAMILIES]


def _describe(name: str, recipes: Mapping[str, str]) -> FamilyInfo:
    family = FAMILIES[name]
    about = re.sub(r"^[\w-]+: ", "", " ".join((family.__doc__ or "").partition("\n\n")[0].split()))
    source = re.search(r"Source: (.*?)\.?\s*(?:\n\n|$)", sys.modules[family.__module__].__doc__ or "", re.DOTALL)
    own = [one for one in fields(family) if one.name not in _SHARED]
    common = [one for one in fields(family) if one.name in _SHARED and one.name != "kind"]
    return FamilyInfo(
        name=name,
        about=about,
        source=" ".join(source[1].split()) if source else "",
        limits=tuple(_limits(family)),
        models=tuple(model for model in group_options("model") if model != name and family_of(model) == name),
        recipes=tuple(recipe for recipe, model in recipes.items() if family_of(model) == name),
        keys=tuple(key_infos(family, own, "model.")),
        shared=tuple(key_infos(family, common, "model.")),
    )


def _limits(family: type[ModelConfig]) -> list[str]:
    found: list[str] = []
    if not family.takes_times:
        found.append("regular steps only: data with times need model.times=append or model.times=ignore")
    if family.check_length is not ModelConfig.check_length:
        text = " ".join((family.check_length.__doc__ or "").partition("\n")[0].split())
        found.append("refused if " + text.removeprefix("Raise ValueError if ").rstrip(".").replace("`", ""))
    return found


def family_of(model: str) -> str:
    """Return the family of an option of the group `model`: `s4d` for `s4d-listops`; "" if it has none."""
    kinds = [kind for kind in FAMILIES if model == kind or model.startswith(f"{kind}-")]
    return max(kinds, key=len, default="")


def recipe_models() -> dict[str, str]:
    """Return the option of the group `model` that each recipe chooses, read from the files without Hydra."""
    return {name: _model_of(name) for name in experiment_names()}


def _model_of(recipe: str) -> str:
    files = (Path(folder, "experiment", f"{recipe}.yaml") for folder in conf_dirs())
    text = next((file.read_text() for file in files if file.is_file()), "")
    found = _MODEL.search(text)
    return found[1] if found else S5Config.kind


def overview_rows(infos: Sequence[FamilyInfo]) -> list[tuple[str, ...]]:
    """Return the header and a row for each family: the number of its recipes, of its files of sizes, and so on."""
    rows: list[tuple[str, ...]] = [("family", "recipes", "sizes", "times", "paper", "layer")]
    for info in infos:
        paper = re.match(r".*?\([^)]*\)|.*", info.source)
        takes = "yes" if FAMILIES[info.name].takes_times else "no"
        counts = str(len(info.recipes)), str(len(info.models))
        rows.append((info.name, *counts, takes, paper[0] if paper and paper[0] else "—", info.about))
    return rows


def family_lines(info: FamilyInfo, sweeps: Sequence[str] | None = None, width: int = 100) -> list[str]:
    """Return the whole description of a family as lines of text.

    Args:
        info: The description.
        sweeps: The sweep files that train it; None if they are not known.
        width: Columns at which texts are wrapped.
    """
    facts = {
        "paper": info.source or "—",
        "reads": "; ".join(info.limits) or "every kind of data: regular steps, times, tokens, pairs",
        "choose": ", ".join(f"model={name}" for name in (info.name, *info.models)),
        "recipes": ", ".join(info.recipes) or f"none of its own: `launch run digits/s5 model={info.name}` trains it",
        **({} if sweeps is None else {"sweeps": ", ".join(sweeps) or "—"}),
    }
    lines = _wrapped(f"{info.name}: ", info.about, width)
    for name, text in facts.items():
        lines += _wrapped(f"{name:<9}", text, width)
    for heading, keys in (("its own keys", info.keys), ("keys of all families", info.shared)):
        lines += ["", f"{heading}:" if keys else f"{heading}: none"]
        for key in keys:
            head = f"  model.{key.name}={key.default}"
            lines.append(f"{head}  ({_bare(key.allowed)})")
            lines += _wrapped("      ", _bare(key.meaning), width)
    return lines


def _wrapped(head: str, text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(
        text,
        max(width, len(head) + 20),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
