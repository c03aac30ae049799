"""Check, hash and write configs section by section, and reuse the result while runs share a section.

Most runs of a sweep share all sections but one or two. To check, hash and write every section of ten thousand runs
would take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from s5.catalog import absolute_folders
from s5.config.identity import from_dict, from_section, science_entry, science_hash
from s5.config.run import Config
from s5.config.yaml_text import yaml_text


class Sections:
    """A cache of the checks, hashes and texts of config sections; the sections must not be changed."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[object, Any]] = {}

    def check(self, config: Mapping[str, Any]) -> None:
        """Run every check of a config.

        Raises:
            ValueError: If the values are not allowed.
            TypeError: If a key is unknown.
        """
        from_dict(Config, {name: self._made("built", name, value, from_section) for name, value in config.items()})

    def science_hash(self, config: Mapping[str, Any]) -> str:
        """Return the science hash of a config, as `s5.config.identity.science_hash` does."""
        return science_hash(config, lambda name, value: self._made("science", name, value, science_entry))

    def with_absolute_folders(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config with absolute folders of data."""
        return {**config, "data": self._made("folders", "data", config["data"], lambda _, data: absolute_folders(data))}

    def text(self, config: Mapping[str, Any]) -> str:
        """Return a config as YAML, from which OmegaConf reads an equal config."""
        return "".join(self._made("text", name, value, _entry_text) for name, value in config.items())

    def _made(self, what: str, name: str, value: Any, make: Callable[[str, Any], Any]) -> Any:
        """Return `make(name, value)`; reuse the last result if `value` is the same object as in the last call."""
        if not isinstance(value, dict):
            return make(name, value)
        section, made = self._last.get((what, name), (None, None))
        if section is not value:
            made = make(name, value)
            self._last[what, name] = value, made
        return made


def _entry_text(name: str, value: Any) -> str:
    return yaml_text({name: value})
