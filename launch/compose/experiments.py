"""The recipes that the configuration folder holds, by their names; found without Hydra."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def default_conf_dir() -> Path:
    """Return the configuration folder of the `s5` package, without running any of its code."""
    spec = importlib.util.find_spec("s5")
    assert spec is not None and spec.submodule_search_locations, "launch and s5 are installed together"
    return Path(spec.submodule_search_locations[0]) / "conf"


def experiment_names(conf_dir: Path | None = None) -> list[str]:
    """Return every experiment's name, such as `digits/s5`, sorted.

    Args:
        conf_dir: The folder that holds `experiment/`; None for that of the `s5` package.
    """
    folder = (conf_dir or default_conf_dir()) / "experiment"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
