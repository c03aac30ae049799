"""`launch completion`: prints a shell's completion script, and answers that script with the completions of a word."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.verbs import ACTIONS, VERBS
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.cli.parser import Parser

EXAMPLES = """
launch completion bash >> ~/.bashrc
launch completion zsh  > "${fpath[1]}/_launch"
launch completion fish > ~/.config/fish/completions/launch.fish
"""

# Each script calls `launch completion --words INDEX WORD…`: the words after `launch`, and the typed word's index.
SCRIPTS = {
    "bash": """\
_launch() {
    local IFS=$'\\n' current="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=($(launch completion --words "$((COMP_CWORD - 1))" "${COMP_WORDS[@]:1}" 2>/dev/null))
    if [[ "${COMPREPLY[0]}" == *= ]]; then compopt -o nospace; fi
}
complete -o default -F _launch launch
""",
    "zsh": """\
#compdef launch
_launch() {
    local -a found
    found=(${(f)"$(launch completion --words $((CURRENT - 2)) "${(@)words[2,-1]}" 2>/dev/null)"})
    if (( $#found )); then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = "_launch" ]; then _launch "$@"; else compdef _launch launch; fi
""",
    "fish": """\
function __launch_find
    set -l done (commandline -opc)
    set -l index (math (count $done) - 1)
    set -g __launch_found (launch completion --words $index $done[2..-1] (commandline -ct) 2>/dev/null)
    test (count $__launch_found) -gt 0
end
complete -c launch -f -n __launch_find -a '$__launch_found'
""",
}


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shell", metavar="SHELL", choices=tuple(SCRIPTS), help=", ".join(SCRIPTS))


def execute(args: argparse.Namespace) -> int:
    """Print the script."""
    console.print_out(SCRIPTS[args.shell].rstrip("\n"))
    return ExitCode.OK


def answer(words: Sequence[str]) -> int:
    """Print the completions of the typed word, one per line. `words` are its index and the words after `launch`."""
    try:
        index, typed = int(words[0]), list(words[1:])
    except (IndexError, ValueError):
        return ExitCode.USAGE
    found = candidates(typed[:index], typed[index] if index < len(typed) else "")
    if found:
        console.print_out("\n".join(found))
    return ExitCode.OK


def candidates(before: Sequence[str], word: str) -> list[str]:
    """Return the completions of `word` after the words `before`, without `launch`; the shell itself completes paths."""
    if not before:
        return _beginning(word, [*VERBS, "--help", "--version"])
    verb, rest = before[0], before[1:]
    if verb not in VERBS:
        return []
    if actions := ACTIONS.get(verb):
        if not rest:
            return _beginning(word, [*actions, "--help"])
        if rest[0] not in actions:
            return []
        verb, rest = f"{verb} {rest[0]}", rest[1:]
    from launch.cli.parser import load_verb, make_parser

    parser = make_parser(verb, load_verb(verb))
    runs, kind, choices = _argument(parser, rest)
    if word.startswith("-") and kind != "value":
        return _beginning(word, parser.options())
    if choices:
        return _beginning(word, choices)
    return _beginning(word, _things(kind, runs, word))


def _argument(parser: Parser, before: Sequence[str]) -> tuple[str | None, str, Sequence[str]]:
    """Return the folder of `--runs`, and the metavar and the allowed values of the argument that is being typed."""
    options = {name: action for action in parser.actions() for name in action.option_strings}
    positionals = [action for action in parser.actions() if not action.option_strings]
    runs: str | None = None
    waiting: argparse.Action | None = None
    place = 0
    for word in before:
        if waiting is not None:
            runs = word if "--runs" in waiting.option_strings else runs
            waiting = None
        elif word in options:
            waiting = options[word] if options[word].nargs != 0 else None
        elif not word.startswith("-"):
            place += 1
    if waiting is None and positionals and (place < len(positionals) or positionals[-1].nargs in ("*", "+")):
        waiting = positionals[min(place, len(positionals) - 1)]
    if waiting is None:
        return runs, "", ()
    return runs, str(waiting.metavar or waiting.dest), tuple(waiting.choices or ())


def _things(kind: str, runs: str | None, word: str) -> Sequence[str]:
    """Return the possible values of an argument whose metavar is `kind`."""
    root = Path(runs or os.environ.get("LAUNCH_RUNS") or "runs")
    match kind:
        case "FILE":
            return _sweep_files()
        case "SWEEP":
            return [*_sweeps(root), *(_sweep_files() if "/" in word else [])]
        case "RUN":
            return _runs(root, word)
        case "SWEEP|RUN":
            return [*_sweeps(root), *_runs(root, word)]
        case "key=value":
            return _settings()
        case "PROFILE":
            config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "launch"
            return ["local", *sorted(path.stem for folder in (Path("slurm"), config) for path in folder.glob("*.yaml"))]
        case "IMAGE":
            return _images()
        case _:
            return _declared(kind)


def _declared(kind: str) -> Sequence[str]:
    """Return the names that the packages declare for a metavar; empty for another metavar."""
    match kind:
        case "EXPERIMENT":
            from s5.config.search_path import task_names

            return task_names()
        case "FAMILY":
            from s5.config.families import FAMILIES

            return list(FAMILIES)
        case "RUNTIME":
            from launch.specs.choices import RUNTIMES

            return RUNTIMES
        case "PLUGIN":
            from importlib.metadata import entry_points

            return sorted(entry_points(group="s5.plugins").names)
        case "DATASET":
            from s5.catalog import CATALOG

            return list(CATALOG)
        case _:
            return []


def _settings() -> list[str]:
    """Return the beginnings of overrides: a key of the config or of the resources, or the seeds, and `=`."""
    from launch.specs.resources import Resources
    from s5.config.identity import config_keys

    keys = [key for key in config_keys() if key.rpartition(".")[2] not in ("kind", "plugin_hash")]
    words = ("seeds", "experiment", "pipeline", *keys, *(f"resources.{key}" for key in Resources().to_json()))
    return [f"{word}=" for word in words]


def _beginning(word: str, things: Sequence[str]) -> list[str]:
    return [thing for thing in dict.fromkeys(things) if thing.startswith(word)]


def _sweep_files() -> list[str]:
    return sorted(str(path) for path in Path("sweeps").glob("*.yaml"))


def _folders(root: Path) -> list[str]:
    """Return the names of the folders in `root`, without reading records, which would be too slow for a completion."""
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return []


def _sweeps(root: Path) -> list[str]:
    return [name for name in _folders(root) if os.path.isdir(root / name / "manifest")]


def _runs(root: Path, word: str) -> list[str]:
    sweep, slash, _ = word.rpartition("/")
    found = ((name, run_id) for name in ([sweep] if slash else _sweeps(root)) for run_id in _folders(root / name))
    return sorted(f"{name}/{run_id}" if slash else run_id for name, run_id in found if run_id != "manifest")


def _images() -> list[str]:
    """Return the names of the images, read by a regular expression: the import of a YAML parser takes too long."""
    import re

    from s5.run_dir.regular_file import read_written

    file = Path(os.environ.get("LAUNCH_IMAGES") or Path(__file__).parents[2] / "docker" / "images.yaml")
    try:
        return re.findall(r"^  ([a-z0-9][a-z0-9._-]*):", read_written(file).decode(errors="replace"), re.MULTILINE)
    except (OSError, ValueError):
        return []
