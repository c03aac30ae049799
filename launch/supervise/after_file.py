"""What a command is told of the runs that its own comes after: their folders, in a file and in a variable."""

from __future__ import annotations

import json
import os

from launch.store.dependencies import DependencyGraph
from launch.store.files import write_file
from launch.store.manifest import read_manifest

AFTER_VARIABLE = "LAUNCH_AFTER"
AFTER_FILE = "after.json"
# Half of what the kernel lets one variable have.
_MOST_BYTES = 64 * 1024


def write_dependencies(run_dir: str, folder: str) -> str:
    """Write down the runs before one, by what it waited for, and return their folders as one variable holds them.

    Args:
        run_dir: The run's directory.
        folder: Its attempt's folder, where the file is written.

    Returns:
        The folders with `os.pathsep` in between; empty where a variable cannot hold them.

    Raises:
        OSError: Where the file cannot be written.
    """
    sweep, run_id = os.path.split(run_dir)
    known = DependencyGraph(read_manifest(sweep))
    found = {
        key[0]: [os.path.join(sweep, other) for other in known.providers(key)] for key in known.requirements(run_id)
    }
    write_file(os.path.join(folder, AFTER_FILE), (json.dumps(found, indent=1) + "\n").encode())
    joined = os.pathsep.join(os.path.join(sweep, other) for other in known.predecessors(run_id))
    return "" if os.pathsep in sweep or len(os.fsencode(joined)) > _MOST_BYTES else joined
