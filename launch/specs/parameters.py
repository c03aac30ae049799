"""The parameters of a program that is not the training: they stand in its command as `{name}`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from launch.errors import LaunchError, did_you_mean

PROGRAM = "command"  # stands for the recipe of a run that has none, since it executes a program with its own parameters
SEED = "seed"
CWD = "cwd"  # the folder in which the user typed the command
ALL = "args"  # every parameter, as `--name=value`

# `{{` and `}}` are braces. `${NAME}` belongs to the shell; other text in braces, such as `{a,b}`, is left as it is.
_PLACEHOLDER = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z_][\w.-]*)\}")


def parameter_text(value: Any) -> str:
    """Return a value as a word of a command line: text as it is, everything else as in JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def fill(words: Sequence[str], parameters: Mapping[str, Any], seed: int, cwd: str) -> tuple[str, ...]:
    """Return the words of a command with the values in place of `{name}`.

    A word `{args}` becomes a word `--name=value` for each parameter.

    Args:
        words: The words as the sweep file has them.
        parameters: The values by dotted name.
        seed: The value of `{seed}`.
        cwd: The value of `{cwd}`, the folder in which the user typed the command.

    Raises:
        LaunchError: If there is no parameter of a name.
    """
    values = {**parameters, SEED: seed, CWD: cwd}

    def put(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return found[0][0]
        if name not in values:
            near = did_you_mean(name, values) or f": {', '.join(values)}"
            raise LaunchError(
                f"{{{name}}} is not a parameter of this run{near}", hint=f"{{{{{name}}}}} is the text itself"
            )
        return parameter_text(values[name])

    filled: list[str] = []
    for word in words:
        if word == f"{{{ALL}}}" and ALL not in values:
            filled += [f"--{name}={parameter_text(value)}" for name, value in parameters.items()]
        else:
            filled.append(_PLACEHOLDER.sub(put, word))
    return tuple(filled)


def names_in(words: Sequence[str]) -> set[str]:
    """Return the names of the parameters that the words of a command have in braces."""
    return {found[1] for word in words for found in _PLACEHOLDER.finditer(word) if found[1] is not None}


def file_named(word: str, folders: Sequence[str]) -> str | None:
    """Return the path of the file that a relative word of a command names in the first folder that has it, or None."""
    if os.path.isabs(word) or ("." not in word and os.sep not in word):
        return None
    return next((path for folder in folders if os.path.isfile(path := os.path.join(folder, word))), None)
