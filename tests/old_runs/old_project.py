"""A copy of the runs that an earlier commit stored, and the commands that a user types for them now.

Everything uses the command line, so that this file needs no name of the code.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from tests.quickly import QUICKLY

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).with_name("7791133")

# How the runs of every sweep stood when they were stored, in the order of the sweep: a letter for the state, then how
# many attempts there were. `launch status` says the same of them for ever.
HERE = {
    "again": "S2 S2",
    "anew": "E2 -1",
    "commands": "S1 S1 F1 C1 E1 -0 C0",
    "later": "S1",
    "mix": "S1 F1 C1 E1 -0",
    "order": "S1 F1 S1 -0 -0",
    "run": "L1",
}
CLUSTER = {
    "again": "S2 S2",
    "anew": "E2 -1",
    "commands": "S1 S1 F1 C1 E1 -0 C0",
    "later": "S1",
    "lost": "L1",
    "mix": "S1 F1 C1 E3 S1",
    "order": "S1 F1 S1 -0 -0",
}
LETTERS = {
    "SUCCEEDED": "S",
    "FAILED": "F",
    "CANCELLED": "C",
    "PREEMPTED": "E",
    "PLANNED": "-",
    "LOST": "L",
    "RUNNING": "R",
}
# What was typed after `launch run`, and after `python -m s5 experiment=`.
WORDS = (STORED / "sweeps/run.txt").read_text().split()
RUN = "run-digits-s5-model.d_model-8-model.d_state-8-model.n_blocks-1-model.n_-21299492"


class OldProject:
    """A user's folder with `sweeps/`, `slurm/`, and the runs in `local/` or `cluster/`.

    Args:
        folder: The folder to create.
        runs: `local` or `cluster`.
        reached: Whether Slurm answers.
    """

    def __init__(self, folder: Path, runs: str, *, reached: bool = False) -> None:
        self.folder = folder / "old"
        self.runs = self.folder / runs
        shutil.copytree(STORED, self.folder)
        for packed in self.folder.glob("*.tar.gz"):
            with tarfile.open(packed) as archive:
                archive.extraction_filter = getattr(
                    tarfile, "data_filter", None
                )  # Debian's Python 3.11.2 has no filters
                archive.extractall(self.folder)
        long_ago = time.time() - 86400
        for path in self.folder.rglob("*"):
            os.utime(path, (long_ago, long_ago))
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LAUNCH_", "S5_", "XDG_"))}
        self._environment = clean | {
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "LAUNCH_RUNS": str(self.runs),
            "LAUNCH_SLOTS": str(folder / "slots"),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": QUICKLY,
            "LAUNCH_PASS": "JAX_PLATFORMS,XLA_FLAGS",  # else they would not reach the runs
        }
        if not reached:
            for name in ("squeue", "sacct", "scontrol"):
                program = folder / "bin" / name
                program.parent.mkdir(exist_ok=True)
                program.write_text(f"#!/bin/sh\necho '{name}: error: Unable to contact slurm controller' >&2; exit 1\n")
                program.chmod(0o755)
            self._environment["PATH"] = f"{folder}/bin{os.pathsep}{os.environ['PATH']}"

    def launch(self, *words: str, code: int = 0) -> str:
        """Type a `launch` command; return what it printed."""
        return self._type(["launch.cli", *words], code)

    def s5(self, *words: str, code: int = 0) -> str:
        """Type a `python -m s5` command; return what it printed."""
        return self._type(["s5", *words], code)

    def _type(self, words: list[str], code: int) -> str:
        command = [sys.executable, "-m", *words]
        ended = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == code, f"{words} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def status(self, sweep: str) -> list[dict[str, Any]]:
        """Return the output of `launch status` for the runs of a sweep."""
        return json.loads(self.launch("status", RUN if sweep == "run" else sweep, "--json"))

    def stand(self, sweep: str) -> str:
        """Return the states of the runs of a sweep, in the form of `HERE`."""
        return " ".join(f"{LETTERS[run['state']]}{run['attempts']}" for run in self.status(sweep))

    def folders(self, sweep: str) -> list[Path]:
        """Return the folders of the runs of a sweep, in its order."""
        return [self.runs / run["sweep"] / run["run_id"] for run in self.status(sweep)]


def read(file: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(file.read_text())


def reasons(run: Path) -> list[str | None]:
    """Return why each attempt of a run ended."""
    attempts = sorted((run / "attempts").iterdir(), key=lambda path: int(path.name))
    return [read(attempt / "attempt.json")["reason"] for attempt in attempts]


def content(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
