"""Imports trained weights from the repositories of the papers."""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jax.numpy as jnp
from flax import nnx

from s5.config.choices import Head
from s5.config.compat import compat_switches
from s5.config.families import find_family
from s5.config.model import ModelConfig
from s5.config.run import Config
from s5.errors import UserError, did_you_mean, unknown
from s5.models.sequence_model import SequenceModel, make_model
from s5.originals.annotated_s4 import ANNOTATED_DSS, ANNOTATED_S4, ANNOTATED_S4D
from s5.originals.dss_repository import DSS_REPOSITORY
from s5.originals.layout import Context, Facts, Layout, Source, convert_arrays
from s5.originals.minimal_lru import MINIMAL_LRU
from s5.originals.s4d_example import S4D_EXAMPLE
from s5.originals.s5_repository import S5_REPOSITORY
from s5.originals.state_spaces import STATE_SPACES_S4, STATE_SPACES_S4D
from s5.originals.weight_file import read_arrays

LAYOUTS: dict[str, Layout] = {
    "s5": S5_REPOSITORY,
    "minimal-lru": MINIMAL_LRU,
    "annotated-s4": ANNOTATED_S4,
    "annotated-s4d": ANNOTATED_S4D,
    "annotated-dss": ANNOTATED_DSS,
    "state-spaces-s4d": STATE_SPACES_S4D,
    "state-spaces-s4": STATE_SPACES_S4,
    "s4d-example": S4D_EXAMPLE,
    "dss": DSS_REPOSITORY,
}


def import_weights(
    file: str | Path,
    layout: str,
    config: Config | None = None,
    *,
    head: Head | str | None = None,
    length: int | None = None,
    **options: Any,
) -> SequenceModel:
    """Return a model with the weights of a file that one of the papers' repositories wrote.

    In evaluation, the model returns what the original returns, before a softmax. The sizes and some options are read
    from the shapes of the arrays; the others are the original's defaults, or given by `options` or by `config`.

    Args:
        file: The file: safetensors, NumPy's .npz, Flax's msgpack; PyTorch's only if PyTorch is installed.
        layout: The repository and its model; `LAYOUTS` and docs/import.md list them.
        config: A configuration of the same model, such as that of a recipe; it must fit the file. None for `options`.
        head: The task, if it is not that of the original's defaults: `regression` for one output per step.
        length: Steps of the training data, which some layouts need.
        **options: Keys of the section `model` of the configuration, such as `prenorm=False, activation="half_glu2"`,
            and switches of the layout, such as `dt_transform="exp"`.

    Returns:
        The model.

    Raises:
        UserError: If the file cannot be read, an option or the configuration does not fit it, or an array is missing
            or has no place in the model.
    """
    if layout not in LAYOUTS:
        raise UserError(unknown("layout", layout, LAYOUTS), hint=f"the layouts are {', '.join(LAYOUTS)}")
    chosen = LAYOUTS[layout]
    switches = {name: str(options.pop(name, values[0])) for name, values in chosen.switches.items()}
    for name, value in switches.items():
        if value not in chosen.switches[name]:
            raise UserError(f"{name}={value}: must be one of {', '.join(chosen.switches[name])}")
    source = Source(str(file), _renamed(chosen, read_arrays(file)))
    said = _typed(chosen.family, options) if config is None else _given(chosen.family, config, options)
    try:
        facts = chosen.read(source, said)
    except (ValueError, IndexError) as error:  # of a shape with more or fewer axes
        raise UserError(f"{file}: its arrays do not have the shapes of the layout {layout} ({error})") from error
    model_config = _make_config(str(file), chosen.family, facts, said)
    try:
        kind = _head(str(file), facts, head)
        compat = compat_switches(config.compat) if config else compat_switches(Config.compat)
        model = make_model(model_config, facts.d_input, facts.d_output, nnx.Rngs(0), head=kind, compat=compat)
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    _fill(model, chosen, source, Context(model_config, length, switches))
    return model


def _renamed(layout: Layout, arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays by the names of the table."""
    root = layout.root
    if root and not any(name.startswith(f"{root}.") for name in arrays):
        arrays = {f"{root}.{name}": array for name, array in arrays.items()}  # a file of parameters alone
    for pattern, name in layout.renames:
        arrays = {re.sub(pattern, name, old): array for old, array in arrays.items()}
    return arrays


def _given(family: str, config: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    if options:
        raise TypeError(f"give config or options, not both: {', '.join(options)}")
    if config.model.kind != family:
        raise UserError(f"the layout is of the family {family}, and the configuration has model={config.model.kind}")
    return dict(vars(config.model))


def _typed(family: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which words are members of their enumeration."""
    hints = {name: kind for name, kind in get_type_hints(find_family(family)).items() if name != "kind"}
    typed: dict[str, Any] = {}
    for name, value in options.items():
        if name not in hints:
            raise UserError(f"model.{name}: the family {family} has no such option{did_you_mean(name, hints)}")
        choices = next((one for one in (hints[name], *get_args(hints[name])) if _is_enum(one)), None)
        if choices is not None and isinstance(value, str):
            members = choices.__members__
            if value not in members:
                raise UserError(
                    f"model.{name}={value}: must be one of {', '.join(members)}{did_you_mean(value, members)}"
                )
            value = members[value]
        typed[name] = value
    return typed


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _make_config(file: str, family: str, facts: Facts, said: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration of the model in a file; raise if the user said something else."""
    wrong = [
        f"model.{name}={_word(said[name])}: the file has {' or '.join(map(_word, allowed))}"
        for name, allowed in facts.allowed.items()
        if name in said and said[name] not in allowed
    ]
    if wrong:
        raise UserError(f"{file}: " + "; ".join(wrong))
    read = {name: allowed[0] for name, allowed in facts.allowed.items()}
    try:
        return find_family(family)(**{**read, **facts.usual, **said})
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error


def _head(file: str, facts: Facts, head: Head | str | None) -> Head:
    if head is None:
        return facts.heads[0]
    wanted = head.name if isinstance(head, Head) else head
    names = [one.name for one in facts.heads]
    if wanted not in names:
        raise UserError(f"{file}: head={wanted}: the file is of a model for {' or '.join(names)}")
    return Head[wanted]


def _word(value: Any) -> str:
    return value.name if isinstance(value, Enum) else str(value)


def _fill(model: SequenceModel, layout: Layout, source: Source, context: Context) -> None:
    """Set all parameters and running statistics of a model."""
    state = nnx.state(model)
    own = {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}
    arrays = convert_arrays(layout, source, context, {name: variable.shape for name, variable in own.items()})
    for name, variable in own.items():
        variable[...] = jnp.asarray(arrays[name], variable.dtype)
    nnx.update(model, state)
