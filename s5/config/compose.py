"""The composition of a run's config through Hydra: from the schema, a recipe, a model and overrides.

`python -m s5` and the launcher both use this module, so both accept the same overrides and have the same messages.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from s5.config.errors import (
    InvalidConfig,
    deletion_error,
    invalid_value_error,
    is_kind,
    kind_error,
    no_group_error,
    several_values_error,
    unknown_key_error,
    unknown_option_error,
)
from s5.config.extension import check_extension
from s5.config.families import FAMILIES, layer_fields
from s5.config.fields import REQUIRED
from s5.config.identity import from_dict, to_dict
from s5.config.model import ModelConfig
from s5.config.nodes import first_line, is_value, plain_values, walk
from s5.config.plugins import content_hash, load_plugins, plugin_folder
from s5.config.run import Config
from s5.config.search_path import conf_dirs, group_options, is_group, model_groups
from s5.config.source_run import find_source, resolve_source
from s5.errors import UserError


def compose(overrides: Sequence[str]) -> Config:
    """Compose and check the config of one run.

    Args:
        overrides: In Hydra's override grammar, such as `experiment=digits/s5`, `model=s5` and `model.n_layers=3`.

    Returns:
        The config.

    Raises:
        UserError: For an unknown recipe, model or key, a value of the wrong type, values that do not fit together, or
            a `train.init_from` that is not the directory of a finished run.
    """
    try:
        config = from_dict(Config, plain_values(compose_nodes(_with_plugins(overrides))))
    except (ValueError, TypeError) as error:
        raise UserError(str(error), hint="python -m s5 --help shows the form of an override") from error
    resolve_source(config)
    if config.train.extend_from is not None:
        place, found = find_source(config.train.extend_from, "train.extend_from")
        config.train.extend_from, config.train.extend_hash = place, config.train.extend_hash or found
        check_extension(to_dict(config))
    return cast("Config", config)


def _with_plugins(overrides: Sequence[str]) -> list[str]:
    """Load the plug-ins in `plugins=...`; return the overrides with absolute folders and with `plugin_hash`."""
    places = next((word.partition("=")[2] for word in reversed(overrides) if word.startswith("plugins=")), None)
    if places is None:
        return list(overrides)
    names = places.strip().removeprefix("[").removesuffix("]").split(",")
    folders = [str(plugin_folder(name.strip().strip("'\""))) for name in names if name.strip()]
    load_plugins(folders)
    rest = [word for word in overrides if not word.startswith(("plugins=", "plugin_hash="))]
    return [*rest, f"plugins={folders}", f"plugin_hash={content_hash(folders)}"]


def compose_nodes(overrides: Sequence[str], folders: Sequence[Path] | None = None) -> Any:
    """Compose through Hydra.

    Args:
        overrides: In Hydra's override grammar.
        folders: The folders of recipes and models, first the one with `config.yaml`; None for `conf_dirs()`.

    Returns:
        OmegaConf's object, with interpolations that are not resolved yet, and before the checks across fields.

    Raises:
        InvalidConfig: For a key, a value or an option that is not valid; `file` is the recipe that has it.
        UserError: For any other error of Hydra.
    """
    import yaml
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    folders = [folder.resolve() for folder in folders or conf_dirs()]
    for text in overrides:
        _check_override(text, folders)
    _store_schemas()
    try:
        with initialize_config_dir(str(folders[0]), **_version_base()):
            config = compose("config", overrides=[*_search(folders[1:]), *overrides])
    except yaml.YAMLError as error:
        raise InvalidConfig("", _syntax_problem(error), file=_syntax_file(error), hint="correct the recipe") from error
    except (HydraException, OmegaConfBaseException, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        # Hydra has no error of its own for some odd overrides: `group=null` is a ValueError.
        raise _explained(error, overrides, folders) from error
    _check_nodes(config)
    return config


def _search(folders: Sequence[Path]) -> list[str]:
    """Return the override that makes Hydra search further folders; empty without further folders."""
    from hydra.core.override_parser.types import Quote, QuotedString

    places = [QuotedString(f"file://{folder}", Quote.single).with_quotes() for folder in folders]
    return [f"hydra.searchpath=[{','.join(places)}]"] if places else []


@cache
def _version_base() -> dict[str, Any]:
    """Return arguments that give the installed Hydra's own defaults: 1.3 warns without `version_base`, 1.4 with it."""
    import hydra

    return {"version_base": None} if hydra.__version__.startswith("1.3.") else {}


def _store_schemas() -> None:
    """Store `Config` and every family in Hydra's ConfigStore.

    A family is stored as the option KIND of the group `model`. A family that contains another model is stored as
    `KIND_schema`: its YAML file names this schema and the inner model in its defaults list.
    """
    schema = Config()
    schema.model = REQUIRED  # with an instance of S5Config, Hydra would reject the other families
    _store("schema", None, Config, schema)
    for group in model_groups():
        for kind, family in FAMILIES.items():
            _store(f"{kind}_schema" if layer_fields(family) else kind, group, family, family)


_stored: set[tuple[str, str | None, type]] = set()


def _store(name: str, group: str | None, section: type, node: Any) -> None:
    """Store a schema, unless it is stored already: Hydra 1.4 warns about the second time."""
    from hydra.core.config_store import ConfigStore

    if (name, group, section) not in _stored:
        _stored.add((name, group, section))
        ConfigStore.instance().store(name, _with_open_mappings(node), group=group)


def _with_open_mappings(schema: Any) -> Any:
    """Return a schema as OmegaConf's object in which Hydra accepts new keys of a mapping, such as `optim.lr_of`."""
    from omegaconf import DictConfig, OmegaConf

    config = OmegaConf.structured(schema)
    for _, node in walk(config):
        if isinstance(node, DictConfig) and OmegaConf.get_type(node) is dict:
            OmegaConf.set_struct(node, False)
    return config


def _check_override(text: str, folders: Sequence[Path]) -> None:
    """Raise for the mistakes that Hydra explains badly: an unknown option, and an override of a model's kind."""
    key, value = _key(text), text.partition("=")[2].strip("'\"")
    if re.fullmatch(r"[+-]?\d{301,}", value):  # a number that float cannot hold
        raise InvalidConfig(key, f"a number of {len(value):,} digits; at most 300 are allowed")
    if text.startswith("~") and key in model_groups():
        raise deletion_error(key)
    if is_kind(key):
        raise kind_error(key, value)
    if key.startswith("model/") and key not in model_groups():
        raise no_group_error(key, value)
    if not is_group(key, folders) or text.startswith("~"):
        return
    if value.startswith("["):  # Hydra would merge the files, and the last one would win
        raise several_values_error(key, value.strip("[]"))
    if re.fullmatch(r"[\w./-]*", value):
        options = group_options(key, folders)
        if value not in options:
            raise unknown_option_error(key, None if value == "null" else value, options)


def _key(override: str) -> str:
    """Return the key of an override such as `+key@package=value`."""
    return override.partition("=")[0].partition("@")[0].lstrip("+~")


def _explained(error: Exception, overrides: Sequence[str], folders: Sequence[Path]) -> UserError:
    """Return our error for an error of Hydra: with the key, the recipe that has it, and a hint."""
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

    cause: Any = error.__cause__ or error.__context__ or error
    if several := re.match(r"Ambiguous value for argument '([^']+)'", str(error)):
        key, _, values = several[1].partition("=")
        return several_values_error(key, values, takes_list=not is_group(key, folders) and key != "seed")
    if unmatched := re.match(r"Could not override '([^']+)'\. No match in the defaults list", str(error)):
        return no_group_error(unmatched[1])
    recipe = re.match(r"In '([^']+)': (?:Could not (?:find|load) '([^']+)/([^']+)')?", str(error))
    file = shown_path(_find_file(f"{recipe[1]}.yaml", folders)) if recipe else None
    if recipe and recipe[2]:
        if recipe[1] == "config":  # Hydra names the root config, but the recipe has overridden its choice
            name = next((text.partition("=")[2] for text in overrides if _key(text) == "experiment"), "")
            file = shown_path(_find_file(f"experiment/{name}.yaml", folders))
        return unknown_option_error(recipe[2], recipe[3], group_options(recipe[2], folders), file)
    if not isinstance(cause, OmegaConfBaseException) or not cause.full_key:
        override = getattr(error, "override", None)  # a text that is not in Hydra's grammar
        return InvalidConfig(f"{override}: not an override" if override else "", first_line(cause), file=file)
    key, section = cast("str", cause.full_key), cause.object_type
    if recipe is None:  # Hydra's error has only the first part of the key that does not exist
        key = next((whole for text in overrides if (whole := _key(text)).startswith(f"{key}.")), key)
    if isinstance(cause, ConfigTypeError) and "deletion" in str(cause):
        return deletion_error(key)
    model = section if isinstance(section, type) and issubclass(section, ModelConfig) else FAMILIES["s5"]
    schema = OmegaConf.structured(Config)
    schema.model = OmegaConf.structured(model)
    nodes = {path: node for path, node in walk(schema) if is_value(node)}
    return omegaconf_error(cause, nodes, key, cause.value, file)


def omegaconf_error(
    error: Any, nodes: Mapping[str, Any], key: str, value: Any, file: str | None = None
) -> InvalidConfig:
    """Return our error for an error of OmegaConf.

    Args:
        error: OmegaConf's error.
        nodes: The node of every key that exists, by key.
        key: The key of the override or the recipe.
        value: The value of that key; if it is a mapping, the error may be about a key inside it.
        file: The recipe that has the key; None for an override.
    """
    if (error.full_key or "").startswith(f"{key}."):
        key, value = error.full_key, error.value
    if key in nodes:
        return invalid_value_error(key, value, nodes[key], first_line(error), file)
    section = error.object_type
    if section is dict:  # a key of the user's own, in a mapping of names to numbers
        hint = f"{key.rpartition('.')[0]} takes a mapping of names to numbers"
        return InvalidConfig(key, f"{value!r} is not a number", hint=hint, file=file)
    return unknown_key_error(key, nodes, section if isinstance(section, type) else None, file)


def _check_nodes(config: Any) -> None:
    """Raise if a key is not in the schema, a section was deleted, or a `kind` is not the family of its section."""
    from omegaconf import DictConfig, OmegaConf

    for key in Config.__dataclass_fields__:
        if key not in config or OmegaConf.is_missing(config, key):
            raise deletion_error(key)
    nodes = {path: node for path, node in walk(config) if is_value(node)}
    for path, node in walk(config):
        parent, name = node._get_parent(), path.rpartition(".")[2]
        section: Any = Config if parent is config else OmegaConf.get_type(parent)
        if section is dict:  # the keys of a mapping such as optim.lr_of are the user's own
            continue
        if isinstance(parent, DictConfig) and name not in getattr(section, "__dataclass_fields__", ()):
            known = {other: 0 for other in nodes if other != path and not other.startswith(f"{path}.")}
            raise unknown_key_error(path, known, section)
        if is_kind(path) and node._value() != section.kind:
            raise InvalidConfig(path, f"{node._value()} is not the family of these keys; it is {section.kind}")


def _find_file(name: str, folders: Sequence[Path]) -> Path:
    """Return the first file of this name in the folders, as Hydra does; without a file, its path in the first one."""
    return next((folder / name for folder in folders if (folder / name).exists()), folders[0] / name)


def _syntax_problem(error: Any) -> str:
    """Return the message about a recipe that is not YAML, with line and column if PyYAML knows them."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"a recipe is not YAML: {first_line(error)}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or first_line(error)}"


def _syntax_file(error: Any) -> str | None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return None if mark is None else shown_path(Path(mark.name))


def shown_path(path: Path) -> str:
    """Return a path as text, relative to the working folder if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
