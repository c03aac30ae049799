"""The command line `launch`: imports only the module of the verb, and turns an error into an exit code."""

from __future__ import annotations

import os
import sys

from launch.own_s5 import exit_if_foreign

exit_if_foreign()  # before any module imports s5

# ruff: noqa: E402
from launch.cli import console
from launch.cli.verbs import ACTIONS, EXIT_CODES, VERBS
from launch.errors import ExitCode, LaunchError, did_you_mean, unknown

_HELP = ("-h", "--help")
_OPTIONS = ("--help", "--version", "--verbose")


def main(argv: list[str] | None = None) -> int:
    """Execute one command line.

    Args:
        argv: The words after `launch`; None for the arguments of the process.

    Returns:
        The exit code: one of `launch.errors.ExitCode`, or 128 plus the number of the signal that stopped the command.
    """
    console.prepare()
    try:
        return _answer(sys.argv[1:] if argv is None else argv)
    finally:
        console.complete_no_commands()


def _answer(words: list[str]) -> int:
    try:
        _check_folder()
        code = _dispatch(words)
        console.flush()
    except BrokenPipeError:
        console.forget_stdout()  # the reader of the pipe has ended, such as `| head`
        return ExitCode.OK
    except LaunchError as mistake:
        if "--verbose" in words:
            console.traceback_of(mistake)
        console.error(mistake)
        return mistake.exit_code
    except KeyboardInterrupt:
        console.note("interrupted")
        return 130
    return code


def _check_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError as gone:
        raise LaunchError("the current folder no longer exists", hint="`cd` to one that does") from gone


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in _HELP:
        console.print_out(_help())
        return ExitCode.OK if words else ExitCode.USAGE
    if words[0] == "help":
        return _dispatch([*words[1:], "--help"])
    if words[0] == "--version":
        from importlib.metadata import version

        console.print_out(f"launch {version('s5-launch')}")
        return ExitCode.OK
    if words[0] == "--verbose":
        return _dispatch([*words[1:], "--verbose"] if len(words) > 1 else [])
    if words[0] not in VERBS:
        what = "option" if words[0].startswith("-") else "verb"
        message = f"launch: {unknown(what, console.printable(words[0]), [*VERBS, *_OPTIONS])}"
        raise LaunchError(message, hint="`launch --help` lists the commands")
    if words[1:2] and words[0] in ACTIONS and words[1] in _HELP:
        console.print_out(_help_of(words[0]))
        return ExitCode.OK
    if words[:2] == ["completion", "--words"]:
        from launch.cli.completion import answer

        return answer(words[2:])
    from launch.cli.parser import load_verb, make_parser

    name, rest = _with_action(words) if words[0] in ACTIONS else (words[0], words[1:])
    verb = load_verb(name)
    return verb.execute(make_parser(name, verb).parse(rest))


def _with_action(words: list[str]) -> tuple[str, list[str]]:
    """Return the verb with its action, such as `image build`, and the words that follow."""
    verb, actions = words[0], ACTIONS[words[0]]
    if len(words) == 1:
        problem = f"what to do is missing: one of {', '.join(actions)}"
    elif words[1] in actions:
        return f"{verb} {words[1]}", words[2:]
    elif words[1].startswith("-"):
        problem = f"the action comes before {console.printable(words[1])}: one of {', '.join(actions)}"
    else:
        near = did_you_mean(words[1], actions) or f"; it is one of {', '.join(actions)}"
        problem = f"unknown action {console.printable(words[1])!r}{near}"
    raise LaunchError(f"launch {verb}: {problem}", hint=f"`launch {verb} --help` lists the actions")


def _help() -> str:
    about = "Turn a sweep file into runs, see them through, and show the table of results."
    more = "Each verb has a --help of its own. Typing `launch sweep FILE` again resumes."
    places = "Runs lie under ./runs, $LAUNCH_RUNS, the folder of --runs, or the runs_dir of the profile of --on."
    return _listing("launch VERB …", about, "verbs", VERBS, f"{more}\n{places}")


def _help_of(verb: str) -> str:
    about = f"{VERBS[verb][0].upper()}{VERBS[verb][1:]}."
    more = f"Each action has a --help of its own: launch {verb} {next(iter(ACTIONS[verb]))} --help"
    return _listing(f"launch {verb} ACTION …", about, "actions", ACTIONS[verb], more)


def _listing(usage: str, about: str, kind: str, words: dict[str, str], more: str) -> str:
    wide = max(map(len, words))
    lines = "\n".join(f"  {word:<{wide}}  {line}" for word, line in words.items())
    return f"usage: {usage}\n\n{about}\n\n{kind}:\n{lines}\n\n{more}\n{EXIT_CODES}"
