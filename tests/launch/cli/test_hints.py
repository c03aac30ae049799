"""Every command in a message of the launcher can be typed: it has the words that its verb needs."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import launch
from launch.cli.parser import load_verb, make_parser
from launch.cli.verbs import ACTIONS, VERBS
from launch.errors import LaunchError

CODE = Path(launch.__file__).parent
COMMAND = re.compile(r"`(launch [^`]+)`")


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module except its docstrings; a value that is filled in becomes `x`."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    skipped = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_doc(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(each) for each in ast.walk(node)}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def _has_doc(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> bool:
    return isinstance(node.body[0], ast.Expr) and ast.get_docstring(node, clean=False) is not None


def hints() -> dict[str, str]:
    """Return the commands in the messages, each with a file that has it."""
    files = [file for file in sorted(CODE.rglob("*.py")) if "`launch " in file.read_text()]
    found = ((file, text) for file in files for text in texts(ast.parse(file.read_text())))
    return {command: str(file.relative_to(CODE)) for file, text in found for command in COMMAND.findall(text)}


def problem_of(command: str) -> str | None:
    """Return why a command cannot be typed, or None."""
    _, verb, *words = shlex.split(command)
    if verb not in VERBS or "--help" in words:  # a value that is filled in, or one of the launcher's own options
        return None
    if verb in ACTIONS:
        verb, words = f"{verb} {words[0]}", words[1:]
    try:
        make_parser(verb, load_verb(verb)).parse(words)
    except LaunchError as error:
        return None if "invalid choice: 'x'" in error.message else error.message
    return None


def test_every_hint_can_be_typed() -> None:
    problems = {command: (file, problem_of(command)) for command, file in hints().items()}
    assert not [f"{file}: `{command}`: {why}" for command, (file, why) in problems.items() if why]


@pytest.mark.parametrize("command", ["launch results", "launch retry --failed", "launch image build"])
def test_a_hint_without_a_word_is_found(command: str) -> None:
    assert problem_of(command)
