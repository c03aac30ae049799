"""Tell a command the folders of the runs before its own run, in a file and in an environment variable."""

from __future__ import annotations

import json
import os

from launch.store.files import write_file
from launch.store.manifest import read_manifest

AFTER_VARIABLE = "LAUNCH_AFTER"
AFTER_FILE = "after.json"
# Linux limits one variable to 128 KiB.
_MOST_BYTES = 64 * 1024


def write_dependencies(run_dir: str, folder: str) -> str:
    """Write the folders of a run's predecessors, by label, to `after.json` in the folder of its attempt.

    Returns:
        The value of the variable: the folders, separated by `os.pathsep`; "" if they do not fit into a variable.

    Raises:
        OSError: If the file cannot be written.
    """
    from launch.store.dependencies import DependencyGraph  # few runs have predecessors; all supervisors would load it

    sweep, run_id = os.path.split(run_dir)
    graph = DependencyGraph(read_manifest(sweep))
    folders = {
        one.label: [os.path.join(sweep, other) for other in graph.providers(one)] for one in graph.requirements(run_id)
    }
    write_file(os.path.join(folder, AFTER_FILE), (json.dumps(folders, indent=1) + "\n").encode())
    joined = os.pathsep.join(dict.fromkeys(path for paths in folders.values() for path in paths))
    return "" if os.pathsep in sweep or len(os.fsencode(joined)) > _MOST_BYTES else joined
