"""The errors about keys and values of the configuration; `python -m s5` and sweep files have the same messages."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from s5.config.families import FAMILIES
from s5.config.identity import unknown_key
from s5.errors import UserError, did_you_mean, nearest, shortened, unknown

_CHOICES = ("experiment", "pipeline")
# What other programs call our keys.
_OTHER_NAMES = {
    "learning_rate": "optim.lr",
    "hidden_size": "model.d_model",
    "state_size": "model.d_state",
    "num_layers": "model.n_layers",
    **dict.fromkeys(("num_epochs", "n_epochs", "max_epochs"), "train.epochs"),
}
# Words of sweep files and of `launch run`, which a run itself does not have.
_OF_THE_LAUNCHER = {
    "seeds": "`launch run EXPERIMENT seeds=3` trains three; in a sweep file, `seeds: 3` stands next to base and grid",
    "resources": "`launch run EXPERIMENT resources.cpus_per_task=2` takes resources; in a sweep file, `resources:` "
    "stands next to base and grid",
}


class InvalidConfig(UserError):
    """A key or a value that is not valid in the configuration.

    Args:
        key: The key; "" if the problem is not about a single key.
        problem: The problem, in words.
        hint: What to type or change.
        file: The recipe that has the key; None for an override.
    """

    def __init__(self, key: str, problem: str, *, hint: str | None = None, file: str | None = None) -> None:
        super().__init__(": ".join(part for part in (file, key, problem) if part), hint=hint)
        self.key = key
        self.problem = problem
        self.file = file


def unknown_key_error(
    key: str, nodes: Mapping[str, Any], section: type | None = None, file: str | None = None
) -> InvalidConfig:
    """Return the error for a key that does not exist.

    Args:
        key: The key.
        nodes: A mapping whose keys are all keys that exist; its values are not used.
        section: The dataclass of the section that lacks the key; None if it is not known.
        file: The recipe that has the key; None for an override.
    """
    known = sorted(name for name in nodes if not is_kind(name))
    above, _, last = key.rpartition(".")
    inside = [other.rpartition(".")[2] for other in known if other.startswith(f"{key}.")]
    if inside:
        off = "it is off unless wandb.mode turns it on; " if key == "wandb" else ""
        hint = f"{off}its keys are {', '.join(inside)}"
        return InvalidConfig(key, "this is a section, not a value", hint=hint, file=file)
    if section in FAMILIES.values() and _is_of_another_family(cast("type", section), last):
        problem = unknown_key(cast("type", section), last, "")
        hint = _family_hint(last)
        if file is not None:
            hint += "; in a recipe for several families, a file such as conf/model/s5-NAME.yaml has such keys"
        return InvalidConfig(key, problem.removeprefix(f"{last}: "), hint=hint, file=file)
    first = key.partition(".")[0]
    if first in _OF_THE_LAUNCHER and file is None:
        return InvalidConfig(key, "unknown key of a run", hint=_OF_THE_LAUNCHER[first])
    roots = [] if above else [*_tops(known), *(_CHOICES if file is None else ())]
    near = _OTHER_NAMES.get(last) or nearest(key, roots) or nearest(key, known) or nearest(last, known)
    while above and not any(other.startswith(f"{above}.") for other in known):
        above = above.rpartition(".")[0]
    siblings = [other.rpartition(".")[2] for other in known if above and other.rpartition(".")[0] == above]
    tops = [f"{top}.…" if any(name.startswith(f"{top}.") for name in known) else top for top in _tops(known)]
    also = f"; {' and '.join(_CHOICES)} choose files" if file is None else ""
    hint = f"the keys of {above} are {', '.join(siblings)}" if siblings else f"the keys are {', '.join(tops)}{also}"
    return InvalidConfig(key, "unknown key" + (f"; did you mean {near}?" if near else ""), hint=hint, file=file)


def _tops(keys: Sequence[str]) -> list[str]:
    # The hash of the plug-ins is computed, never typed.
    return list(dict.fromkeys(top for key in keys if (top := key.partition(".")[0]) != "plugin_hash"))


def _is_of_another_family(section: type, name: str) -> bool:
    others = (family for family in FAMILIES.values() if name in family.__dataclass_fields__)
    return any(others) and name not in section.__dataclass_fields__


def _family_hint(name: str) -> str:
    kinds = [kind for kind, family in FAMILIES.items() if name in family.__dataclass_fields__]
    return f"{name} is a key of {', '.join(f'model={kind}' for kind in kinds)}"


def invalid_value_error(key: str, value: Any, node: Any, reason: str, file: str | None = None) -> InvalidConfig:
    """Return the error for a value that is not valid for its key.

    Args:
        key: The key.
        value: The value.
        node: OmegaConf's node of the key in the schema.
        reason: OmegaConf's message, for a type that this function has no words for.
        file: The recipe that has the value; None for an override.
    """
    from omegaconf import BooleanNode, EnumNode, FloatNode, IntegerNode, StringNode, UnionNode

    words = {FloatNode: "a number", IntegerNode: "a whole number", BooleanNode: "true or false", StringNode: "text"}
    or_null = " or null" if node._is_optional() else ""
    if isinstance(node, EnumNode):
        names = [member.name for member in node.enum_type]
        reason = f"{_shown(value)} is not one of {', '.join(names)}{or_null}{did_you_mean(value, names)}"
    elif isinstance(node, UnionNode):  # of train.batch_size, the only key of two types
        reason = f"{_shown(value)} is neither a whole number nor auto"
    elif type(node) in words:
        reason = f"{_shown(value)} is not {words[type(node)]}{or_null}"
    if _is_list(value):
        hint = f"to train a run for each value, vary {key} under grid in a sweep file"
    else:
        hint = _value_hint(key, node)
    return InvalidConfig(key, reason, hint=hint, file=file)


def _value_hint(key: str, node: Any) -> str | None:
    """Return the hint that names the values of a key and its default; None if its section does not describe them."""
    from omegaconf import OmegaConf

    from s5.config.key_info import key_infos

    section: Any = OmegaConf.get_type(node._get_parent()) if node._get_parent() is not None else None
    prefix, dot, name = key.rpartition(".")
    try:
        (info,) = key_infos(section, [section.__dataclass_fields__[name]], prefix + dot)
    except (AttributeError, KeyError, ValueError, TypeError):
        return None
    article = "a " if info.allowed.startswith(("number", "whole number")) else ""
    default = f"the default is {info.default}, which recipes may replace"
    return f"{key} takes {article}{info.allowed}; {default}".replace("`", "")


def _is_list(value: Any) -> bool:
    from omegaconf import ListConfig

    return isinstance(value, list | tuple | ListConfig)


def deletion_error(key: str) -> InvalidConfig:
    """Return the error for a key that an override deletes."""
    return InvalidConfig(key, "this key cannot be deleted: every run has it", hint="set it to another value")


def no_group_error(group: str, value: str = "") -> InvalidConfig:
    """Return the error for a group that the config does not have; `value` is the option that was chosen in it."""
    hint = f"choose the family with model={value}" if value and group.startswith("model/") else None
    return InvalidConfig(group, "this config has no such group", hint=hint)


def several_values_error(key: str, values: str, *, takes_list: bool = False) -> InvalidConfig:
    """Return the error for several values of a key, such as `model=s5,lru`, where one run is composed.

    Args:
        key: The key.
        values: The values, separated by commas.
        takes_list: Whether the value of the key may be a list.
    """
    own = {"seed": "seeds", "experiment": "experiment", "pipeline": "pipeline"}.get(key)
    line = f"{own}: [{values}]" if own else f"grid: {{{key}: [{values}]}}"
    return InvalidConfig(
        key,
        f"{values} are several values, and a run takes one",
        hint=f"`launch sweep FILE` trains a run for each: in FILE `{line}`"
        + (f"; a list is {key}=[{values}]" if takes_list else ""),
    )


def unknown_option_error(group: str, name: Any, options: Sequence[str], file: str | None = None) -> InvalidConfig:
    """Return the error for an option that a group does not have.

    Args:
        group: The group, such as `experiment` or `model/layer`.
        name: The option, as the user typed it.
        options: The options of the group.
        file: The recipe that chooses the option; None for an override.
    """
    noun = group.rpartition("/")[2]
    problem = unknown(noun, name, options) if isinstance(name, str) else f"{_shown(name)} is not a name"
    return InvalidConfig(
        group, problem, hint=f"the {noun}s are {shortened(options, name)}" if options else None, file=file
    )


def kind_error(key: str, value: Any) -> InvalidConfig:
    """Return the error for an override of `model.kind`: `model=KIND` chooses the family together with its keys."""
    group = key.rpartition(".")[0].replace(".", "/")
    return InvalidConfig(key, "this key cannot choose the family", hint=f"choose the family with {group}={value}")


def is_kind(key: str) -> bool:
    """Return whether a key is the `kind` of the model or of a model inside the model."""
    return key.startswith("model.") and key.endswith(".kind")


def _shown(value: Any) -> str:
    """Return the text of a value for a message."""
    match value:
        case None:
            return "null"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "…"
