"""What is wrong with a run's config, said so that the sweep file can be mended."""

from __future__ import annotations

from launch.compose.hydra import ValueRefused
from launch.errors import ConfigError, nearest
from launch.grammar import format_value
from launch.sweepfile.runs import RunSpec
from launch.yaml_file import describe


def experiment_error(spec: RunSpec, known: list[str]) -> ConfigError:
    """Return the error for an experiment that has no recipe."""
    near = nearest(spec.experiment, known)
    place = spec.places.get("experiment", spec.where)
    message = f"{place}: unknown experiment {spec.experiment!r}" + (f"; did you mean {near}?" if near else "")
    return ConfigError(message, hint=f"the experiments are {', '.join(known)}")


def refused_error(spec: RunSpec, error: ValueRefused) -> ConfigError:
    """Return the error for a key that is not there, or for a value that its key does not take."""
    place = error.file or _place(spec, error.key)
    head = place if place.endswith(error.key) else f"{place}: {error.key}"
    if error.node is not None:
        return ConfigError(f"{head}: {_value_message(error)}")
    inside = [key.rpartition(".")[2] for key in error.known if key.startswith(f"{error.key}.")]
    if inside:
        return ConfigError(f"{head}: this is a section, not a value", hint=f"its keys are {', '.join(inside)}")
    sections = list(dict.fromkeys(key.rpartition(".")[0] for key in error.known if "." in key))
    last = error.key.rpartition(".")[2]
    near = nearest(error.key, error.known) or nearest(last, error.known) or nearest(error.key, sections)
    message = f"{head}: unknown key" + (f"; did you mean {near}?" if near else "")
    return ConfigError(message, hint=_keys_hint(error))


def _place(spec: RunSpec, key: str) -> str:
    """Return where the key or a section around it is set."""
    while key not in spec.places and "." in key:
        key = key.rpartition(".")[0]
    return spec.places.get(key, spec.where)


def _keys_hint(error: ValueRefused) -> str:
    """Return the keys that stand where the unknown one was looked for."""
    section = error.key.rpartition(".")[0]
    inside = [key for key in error.known if section and key.rpartition(".")[0] == section]
    if not inside:
        return f"the keys are {', '.join(error.known)}"
    return f"the keys of {section} are {', '.join(key.rpartition('.')[2] for key in inside)}"


def _value_message(error: ValueRefused) -> str:
    """Return what is wrong with a value and what its key takes instead."""
    from omegaconf import BooleanNode, EnumNode, FloatNode, IntegerNode, StringNode

    words = {FloatNode: "a number", IntegerNode: "a whole number", BooleanNode: "true or false", StringNode: "text"}
    shown, node = "null" if error.value is None else describe(error.value), error.node
    or_null = " or null" if node._is_optional() else ""
    if isinstance(node, EnumNode):
        names = [member.name for member in node.enum_type]
        near = nearest(error.value, names) if isinstance(error.value, str) else None
        return f"{shown} is not one of {', '.join(names)}{or_null}" + (f"; did you mean {near}?" if near else "")
    if type(node) in words:
        return f"{shown} is not {words[type(node)]}{or_null}"
    return error.reason


def combination_error(spec: RunSpec, reason: str) -> ConfigError:
    """Return the error for values that are each allowed and not together."""
    named = [key for key in spec.places if key in reason]
    place = spec.places[named[-1]] if named else spec.where
    varied = {key: value for key, value in spec.settings.items() if key in reason}
    hint = None
    if varied:
        rule = ", ".join(f"{key}: {format_value(value)}" for key, value in varied.items())
        hint = f"to leave such runs out: `exclude: [{{{rule}}}]`"
    return ConfigError(f"{place}: {reason}", hint=hint)
