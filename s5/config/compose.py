"""How a run's config is composed: by Hydra, from the schema, a recipe, a model and overrides.

`python -m s5` and the launcher both compose here, so both take the same words and refuse them with the same text.
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
    unknown_key_error,
    unknown_option_error,
)
from s5.config.families import FAMILIES, layer_fields
from s5.config.fields import REQUIRED
from s5.config.identity import from_dict
from s5.config.model import ModelConfig
from s5.config.nodes import first_line, plain_values, walk
from s5.config.plugins import content_hash, load_plugins, plugin_folder
from s5.config.run import Config
from s5.config.search_path import conf_dirs, group_options, is_group, model_groups
from s5.config.source_run import resolve_source
from s5.errors import UserError


def compose(overrides: Sequence[str]) -> Config:
    """Compose and check the config of one run.

    Args:
        overrides: In Hydra's override grammar, such as `experiment=digits/s5`, `model=s5` and `model.n_layers=3`.

    Returns:
        The config.

    Raises:
        UserError: For an unknown recipe, model or key, a value of the wrong type, a combination that cannot be, or a
            `train.init_from` that is not the directory of a finished run.
    """
    try:
        config = from_dict(Config, plain_values(compose_nodes(_with_plugins(overrides))))
    except (ValueError, TypeError) as error:
        raise UserError(str(error), hint="python -m s5 --help shows the form of an override") from error
    resolve_source(config)
    return cast("Config", config)


def _with_plugins(overrides: Sequence[str]) -> list[str]:
    """Load the plug-ins that overrides name, and return the overrides with the hash of their content."""
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
        folders: Where recipes and models lie, the one with `config.yaml` first; None for `conf_dirs()`.

    Returns:
        OmegaConf's object, before interpolations are resolved and before the checks across fields.

    Raises:
        InvalidConfig: For a key, a value or an option that does not exist; `file` names the recipe that has it.
        UserError: For whatever else Hydra does not take.
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
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
        # Hydra has no error of its own for some odd overrides: `group=null` is a ValueError.
        raise _explained(error, overrides, folders) from error
    _check_nodes(config)
    return config


def _search(folders: Sequence[Path]) -> list[str]:
    """Return the override that makes Hydra look into further folders."""
    from hydra.core.override_parser.types import Quote, QuotedString

    places = [QuotedString(f"file://{folder}", Quote.single).with_quotes() for folder in folders]
    return [f"hydra.searchpath=[{','.join(places)}]"] if places else []


@cache
def _version_base() -> dict[str, Any]:
    """Return how Hydra is told to behave as its own version does: 1.3 warns without the argument, 1.4 with it."""
    import hydra

    return {"version_base": None} if hydra.__version__.startswith("1.3.") else {}


def _store_schemas() -> None:
    """Tell Hydra about `Config` and every family.

    A family is an option of the group `model` by its name. One that holds another model needs a YAML file to choose
    which, so it is stored as `KIND_schema`, for that file's defaults list.
    """
    schema = Config()
    schema.model = REQUIRED  # an instance of S5 would refuse the other families
    _store("schema", None, Config, schema)
    for group in model_groups():
        for kind, family in FAMILIES.items():
            _store(f"{kind}_schema" if layer_fields(family) else kind, group, family, family)


_stored: set[tuple[str, str | None, type]] = set()


def _store(name: str, group: str | None, section: type, node: Any) -> None:
    """Store a schema once: Hydra 1.4 warns about another."""
    from hydra.core.config_store import ConfigStore

    if (name, group, section) not in _stored:
        _stored.add((name, group, section))
        ConfigStore.instance().store(name, node, group=group)


def _check_override(text: str, folders: Sequence[Path]) -> None:
    """Refuse what Hydra would explain badly: an option that does not exist, and the kind of a model."""
    key, value = _key(text), text.partition("=")[2].strip("'\"")
    if text.startswith("~") and key in model_groups():
        raise deletion_error(key)
    if is_kind(key):
        raise kind_error(key, value)
    if is_group(key, folders) and re.fullmatch(r"[\w./-]*", value) and not text.startswith("~"):
        options = group_options(key, folders)
        if value not in options and (value != "null" or key in model_groups()):
            raise unknown_option_error(key, None if value == "null" else value, options)


def _key(override: str) -> str:
    """Return the key of an override such as `+key@package=value`."""
    return override.partition("=")[0].partition("@")[0].lstrip("+~")


def _explained(error: Exception, overrides: Sequence[str], folders: Sequence[Path]) -> UserError:
    """Return the error to raise for what Hydra raised."""
    from omegaconf import OmegaConf, ValueNode
    from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

    cause: Any = error.__cause__ or error.__context__ or error
    if unmatched := re.match(r"Could not override '([^']+)'\. No match in the defaults list", str(error)):
        return InvalidConfig(unmatched[1], "this config chooses nothing by such a group")
    recipe = re.match(r"In '([^']+)': (?:Could not (?:find|load) '([^']+)/([^']+)')?", str(error))
    file = shown_path(_find_file(f"{recipe[1]}.yaml", folders)) if recipe else None
    if recipe and recipe[2]:
        if recipe[1] == "config":  # Hydra names the root, and the experiment's recipe has overridden its choice
            name = next((text.partition("=")[2] for text in overrides if _key(text) == "experiment"), "")
            file = shown_path(_find_file(f"experiment/{name}.yaml", folders))
        return unknown_option_error(recipe[2], recipe[3], group_options(recipe[2], folders), file)
    if not isinstance(cause, OmegaConfBaseException) or not cause.full_key:
        override = getattr(error, "override", None)  # the text that Hydra's grammar does not take
        return InvalidConfig(f"{override}: not an override" if override else "", first_line(cause), file=file)
    key, section = cast("str", cause.full_key), cause.object_type
    if recipe is None:  # Hydra stops at the first part of a key that does not exist
        key = next((whole for text in overrides if (whole := _key(text)).startswith(f"{key}.")), key)
    if isinstance(cause, ConfigTypeError) and "deletion" in str(cause):
        return deletion_error(key)
    model = section if isinstance(section, type) and issubclass(section, ModelConfig) else FAMILIES["s5"]
    schema = OmegaConf.structured(Config)
    schema.model = OmegaConf.structured(model)
    nodes = {path: node for path, node in walk(schema) if isinstance(node, ValueNode)}
    return omegaconf_error(cause, nodes, key, cause.value, file)


def omegaconf_error(
    error: Any, nodes: Mapping[str, Any], key: str, value: Any, file: str | None = None
) -> InvalidConfig:
    """Return the error for what OmegaConf refused.

    Args:
        error: OmegaConf's error.
        nodes: Every key that exists to the node that holds its value.
        key: The key that was to be set.
        value: The value that it was to have; the error may be about a key inside it.
        file: The recipe that has it; None for an override.
    """
    if (error.full_key or "").startswith(f"{key}."):
        key, value = error.full_key, error.value
    if key in nodes:
        return invalid_value_error(key, value, nodes[key], first_line(error), file)
    section = error.object_type
    return unknown_key_error(key, nodes, section if isinstance(section, type) else None, file)


def _check_nodes(config: Any) -> None:
    """Refuse a key that the schema lacks, a section that was deleted, a kind that is not its keys' family."""
    from omegaconf import DictConfig, OmegaConf, ValueNode

    for key in Config.__dataclass_fields__:
        if key not in config or OmegaConf.is_missing(config, key):
            raise deletion_error(key)
    nodes = {path: node for path, node in walk(config) if isinstance(node, ValueNode)}
    for path, node in walk(config):
        parent, name = node._get_parent(), path.rpartition(".")[2]
        section: Any = Config if parent is config else OmegaConf.get_type(parent)
        if isinstance(parent, DictConfig) and name not in getattr(section, "__dataclass_fields__", ()):
            known = {other: 0 for other in nodes if other != path and not other.startswith(f"{path}.")}
            raise unknown_key_error(path, known, section)
        if is_kind(path) and node._value() != section.kind:
            raise InvalidConfig(path, f"{node._value()} is not the family of these keys, which is {section.kind}")


def _find_file(name: str, folders: Sequence[Path]) -> Path:
    """Return the file that Hydra means by a name inside the search path."""
    return next((folder / name for folder in folders if (folder / name).exists()), folders[0] / name)


def _syntax_problem(error: Any) -> str:
    """Return the line, the column and the problem of a recipe that is not YAML."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"a recipe is not YAML: {first_line(error)}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or first_line(error)}"


def _syntax_file(error: Any) -> str | None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return None if mark is None else shown_path(Path(mark.name))


def shown_path(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
