"""The command line of a benchmark that has nothing to choose: measure, then print lines or JSON."""

import argparse
import json
import platform
from collections.abc import Callable
from typing import Any


def run(name: str, summary: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Measure as the command line asks, and print the machine and the figures.

    Args:
        name: The benchmark's module.
        summary: What it measures, for its help.
        measure: Returns the figures.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=summary)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    figures = {"machine": f"{platform.machine()} {platform.system()}, Python {platform.python_version()}", **measure()}
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key}: {value}")
