"""The argument parser of a verb: argparse, but errors are a `LaunchError` and suggest the nearest option."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import textwrap
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from launch.cli import console
from launch.cli.verbs import ACTIONS, EXIT_CODES, OF_STORED_RUNS, VERBS, WITHOUT_RUNS
from launch.errors import LaunchError, did_you_mean, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import SupportsWrite


# Options of Hydra's programs that print a configuration.
_HYDRA_CONFIG = {"--cfg", "-c"}
# The message of argparse for a value that is not allowed.
_INVALID_CHOICE = re.compile(r"invalid choice: '(?P<word>[^']*)' \(choose from (?P<choices>.*)\)")


class Verb(Protocol):
    """The interface of a verb's module."""

    EXAMPLES: str
    """Command lines, one a line, shown under its help."""

    def configure(self, parser: Parser) -> None:
        """Add the verb's arguments."""
        ...

    def execute(self, args: argparse.Namespace) -> int:
        """Execute the verb, and return the exit code."""
        ...


class Parser(argparse.ArgumentParser):
    """The argument parser of one verb. Abbreviated options are errors.

    Attributes:
        takes_command: Whether the words after `--` are a command, which becomes the argument `command`.
    """

    def __init__(self, verb: str, examples: str) -> None:
        lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
        first, _, action = verb.partition(" ")
        about = ACTIONS[first][action] if action else VERBS[verb]
        super().__init__(
            prog=f"launch {verb}",
            description=about[0].upper() + about[1:] + ".",
            epilog=f"examples:\n{lines}\n\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.takes_command = False

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse a command line; options may come before, between and after the other words.

        Raises:
            LaunchError: If the command line is not valid.
        """
        if self.takes_command:
            place = words.index("--") if "--" in words else len(words)
            self.set_defaults(command=list(words[place + 1 :]))
            words = words[:place]
        words = _join_values(words)
        file = next((word for word in words if word.startswith("-") and word.endswith((".yaml", ".yml"))), None)
        if file is not None and "=" not in file:
            raise LaunchError(f"{self.prog}: {file!r} looks like an option", hint=f"type ./{file} for the file")
        args, rest = self.parse_known_intermixed_args(list(words))
        option = next((word for word in rest if word.startswith("-")), None)
        if option is not None:
            self._refuse_option(option.split("=")[0])
        if rest:
            self.error(f"unexpected {rest[0]!r}")
        return args

    def options(self) -> list[str]:
        """Return the names of all options."""
        return [name for action in self.actions() for name in action.option_strings]

    def actions(self) -> list[argparse.Action]:
        """Return every argument, in the order of its declaration."""
        return self._actions

    def _refuse_option(self, word: str) -> NoReturn:
        _, verb, *action = self.prog.split()
        actions = {each: f"{verb} {each}" for each in ACTIONS.get(verb, ())}
        others = [each for each, name in actions.items() if word in make_parser(name, load_verb(name)).options()]
        message = unknown("option", word, self.options())
        if others:
            message = f"{word} is an option of {' and '.join(others)}, not of {action[0]}"
        hint = f"`{self.prog} --help` lists the options"
        if word in _HYDRA_CONFIG:
            hint = "`launch show EXPERIMENT key=value …` prints the whole configuration"
        raise LaunchError(f"{self.prog}: {message}", hint=hint)

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Write the help to stdout; raise if it cannot be written."""
        del file
        console.print_out(self.format_help().rstrip("\n"))
        console.flush()

    def error(self, message: str) -> NoReturn:
        """Raise argparse's error as a LaunchError; argparse itself would print the usage and exit."""
        if found := _INVALID_CHOICE.search(message):
            message += did_you_mean(found["word"], re.findall(r"[\w.-]+", found["choices"]))
        raise LaunchError(f"{self.prog}: {message}", hint=f"`{self.prog} --help` shows how it is used")


def _join_values(words: Sequence[str]) -> list[str]:
    """Return the words with `--sort -KEY` as one word: argparse would take `-KEY` for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--sort" and word.startswith("-") and not word.startswith("--"):
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def whole(text: str) -> int:
    """Parse a whole number that is at least 0."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def at_least_one(text: str) -> int:
    """Parse a whole number that is at least 1."""
    value = whole(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def duration(text: str) -> float:
    """Parse a number that is at least 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid float value: {text!r}") from None
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"invalid duration: {text}")
    return value


def load_verb(name: str) -> Verb:
    """Import and return the module of a verb, or of a verb with its action."""
    return cast("Verb", importlib.import_module(f"launch.cli.{name.replace(' ', '.')}"))


def make_parser(name: str, verb: Verb) -> Parser:
    """Return the parser of a verb with the options that all verbs share."""
    parser = Parser(name, verb.EXAMPLES)
    verb.configure(parser)
    if name not in WITHOUT_RUNS and "--runs" not in parser.options():
        default = "$LAUNCH_RUNS, else ./runs"
        if name in OF_STORED_RUNS or "--on" in parser.options():
            default = f"the runs_dir of the profile of --on, else {default}"
        parser.add_argument("--runs", metavar="DIR", help=f"where runs lie (default: {default})")
    if name in OF_STORED_RUNS:
        parser.add_argument("--on", metavar="PROFILE", help="runs lie in the runs_dir of this profile")
    parser.add_argument("--verbose", action="store_true", help="show the traceback of a mistake too")
    parser.description = textwrap.fill(parser.description or "", max(20, shutil.get_terminal_size().columns - 2))
    return parser
