"""The command line of a benchmark: it measures, then prints the machine and the results, as lines or as JSON."""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from typing import Any


def run(
    name: str, summary: str, measure: Callable[..., dict[str, Any]], options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Parse the command line, measure, and print the machine and the results.

    Args:
        name: The benchmark's module.
        summary: The text of its `--help`.
        measure: A function that returns the results; its arguments are the options.
        options: Maps each option to its default, or to a tuple of choices; the first choice is the default.

    Returns:
        The results that were printed.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    for option, default in (options or {}).items():
        choices = default if isinstance(default, tuple) else None
        first = choices[0] if choices else default
        parser.add_argument(
            f"--{option.replace('_', '-')}",
            type=str if first is None else type(first),
            default=first,
            choices=choices,
            help=f"default: {first}",
        )
    asked = vars(parser.parse_args())
    as_json = asked.pop("json")
    figures = {**machine(), **measure(**asked)}
    if as_json:
        print(json.dumps(figures, indent=1))
        return figures
    for key, value in figures.items():
        print(f"{key:24} {value}")
    return figures


def machine() -> dict[str, Any]:
    """Return the properties of the machine that results depend on, and the commit of the code."""
    return {
        "machine": f"{platform.machine()} {platform.system()}, Python {platform.python_version()}",
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "commit": commit(),
    }


def commit() -> str:
    """Return the commit of the code that was measured."""
    answer = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
