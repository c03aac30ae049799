"""Write docs/settings.md: every key of the configuration with its default, its values and its meaning.

    python scripts/settings_page.py

All of it comes from the dataclasses of `s5.config`: defaults from their fields, meanings from their docstrings, limits
from the errors of their checks. A test compares the page with `page()`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from s5.config.data import DataConfig
from s5.config.families import FAMILIES, S5Config
from s5.config.key_info import key_infos
from s5.config.model import ModelConfig
from s5.config.run import Config
from s5.config.training import OptimConfig, TrainConfig
from s5.config.wandb import WandbConfig

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = """# Settings

Every key of the configuration of a run. Recipes set some of them, a sweep file under `base` and `grid`, and the command
line as `key=value`; `launch show digits/s5` prints all of them for a recipe, and with changes:
`launch show digits/s5 model=lru optim.lr=0.002`. A key that does not exist, and a value that is not allowed, is refused
before anything starts.

The defaults are those without a recipe. `null` means: not set. A key with * does not change the results, so it is not
part of a run's identity: runs that differ only in it are one run. The keys of the sweep file itself, such as `seeds`
and `resources`, are in [sweeps.md](sweeps.md).

<!-- Written by scripts/settings_page.py from the dataclasses of s5/config. -->
"""
_SECTIONS = (("data", DataConfig), ("optim", OptimConfig), ("train", TrainConfig), ("wandb", WandbConfig))


def page() -> str:
    """Return the text of the page."""
    sections = {**dict(_SECTIONS), "model": ModelConfig}
    top = [one for one in fields(Config) if one.name not in sections]
    parts = [_HEAD, "## Top level\n", _table("", Config, top)]
    for name, section in _SECTIONS:
        parts += [f"## {name}\n", _summary(section), _table(f"{name}.", section, fields(section))]
    common = [one for one in fields(S5Config) if one.name in {f.name for f in fields(ModelConfig)}]
    parts += [
        "## model, all families\n",
        "`model=FAMILY` and `model=FAMILY-TASK` choose the [family](families.md) and its published sizes; `model.kind` "
        "says which it is.\n",
        _table("model.", S5Config, [one for one in common if one.name != "kind"]),
    ]
    shared = {one.name for one in common}
    for kind, family in FAMILIES.items():
        if family.__module__.startswith("s5."):
            own = [one for one in fields(family) if one.name not in shared]
            parts += [f"## model={kind}\n", _summary(family), _table("model.", family, own)]
    return "\n".join(parts)


def _summary(section: type) -> str:
    return (section.__doc__ or "").partition("\n")[0] + "\n"


def _table(prefix: str, section: type, rows: Iterable[Field[Any]]) -> str:
    return (
        "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *_rows(prefix, section, rows)]) + "\n"
    )


def _rows(prefix: str, section: type, rows: Iterable[Field[Any]]) -> Iterator[str]:
    for key in key_infos(section, rows, prefix):
        star = "" if key.science else " *"
        cells = (f"`{prefix}{key.name}`{star}", f"`{key.default}`", key.allowed, key.meaning)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
