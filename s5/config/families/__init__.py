"""The configuration classes of the model families, one module for each family, and a table of them by `kind`.

Other code adds a family with one of two functions of the name `register_family`. The one here adds the configuration
class only, which is enough for the launcher. For training, `s5.models.mixers.register_family` adds the layer too.
`s5.config.search_path.add_conf_dir` adds the folder of the family's YAML files.
"""

from dataclasses import fields
from functools import cache
from typing import get_type_hints

from s5.config.families.dss import DSSConfig
from s5.config.families.linoss import LinOSSConfig
from s5.config.families.lru import LRUConfig
from s5.config.families.lssl import LSSLConfig
from s5.config.families.rglru import RGLRUConfig
from s5.config.families.s4 import S4Config
from s5.config.families.s4d import S4DConfig
from s5.config.families.s5 import S5Config
from s5.config.model import ModelConfig
from s5.errors import unknown

__all__ = [
    "FAMILIES",
    "DSSConfig",
    "LRUConfig",
    "LSSLConfig",
    "LinOSSConfig",
    "RGLRUConfig",
    "S4Config",
    "S4DConfig",
    "S5Config",
    "find_family",
    "fitting_hint",
    "layer_fields",
    "register_family",
]

FAMILIES: dict[str, type[ModelConfig]] = {
    kind.kind: kind
    for kind in (S5Config, S4Config, S4DConfig, DSSConfig, LRUConfig, RGLRUConfig, LinOSSConfig, LSSLConfig)
}


def register_family(config: type[ModelConfig]) -> None:
    """Add a family, so that `model=KIND` chooses it.

    Args:
        config: A dataclass that extends `ModelConfig`; the default of its field `kind` is the family's name.

    Raises:
        ValueError: If another family has this name.
    """
    if FAMILIES.setdefault(config.kind, config) is not config:
        raise ValueError(f"model family {config.kind!r}: {FAMILIES[config.kind].__qualname__} has this name already")


def find_family(kind: object) -> type[ModelConfig]:
    """Return the configuration class of a family.

    Args:
        kind: The name of the family: the value of `model.kind`.

    Raises:
        ValueError: If there is no such family, for example because its plug-in is not loaded.
    """
    found = FAMILIES.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise ValueError(
            f"model.kind: {unknown('family', str(kind), FAMILIES)}; the families are {', '.join(FAMILIES)}"
        )
    return found


def fitting_hint(error: ValueError) -> str:
    """Return the hint for an error of `ModelConfig.check_fits`."""
    if str(error).startswith("model.layer_pooling"):
        return "the recipe digits/s5 has data with one answer for a sequence"
    if not str(error).startswith("model.times=steps"):
        return "the recipe pendulum/s5 has such data"
    return f"these families take times: {', '.join(kind for kind, one in FAMILIES.items() if one.takes_times)}"


@cache
def layer_fields(config: type[ModelConfig]) -> tuple[str, ...]:
    """Return the fields of a family that contain another model, such as `layer` of a model made of S5 layers."""
    hints = get_type_hints(config)
    return tuple(f.name for f in fields(config) if hints[f.name] is ModelConfig)
