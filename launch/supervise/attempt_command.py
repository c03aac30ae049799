"""The command of an attempt: its command line, its variables, its cores and GPUs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import final

from launch.containers.runtimes import CommandCall
from launch.errors import LaunchError
from launch.specs.resources import Resources
from launch.store.files import SNAPSHOTS
from launch.store.program_words import ProgramWords, program_words
from launch.store.records import ManifestEntry, ManifestHeader, RunRecord
from launch.supervise.after_file import AFTER_VARIABLE, write_dependencies
from launch.supervise.arguments import PYTHON_VARIABLE, SupervisorArgs
from launch.supervise.host import Host
from s5.run_dir.result import (
    ATTEMPT_DIR_VARIABLE,
    CWD_VARIABLE,
    PLATFORM_VARIABLE,
    RUN_DIR_VARIABLE,
    SUPERVISOR_PIPE_VARIABLE,
)

_THREAD_VARIABLES = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# By default CUDA numbers GPUs by speed, but nvidia-smi by bus; this makes CUDA use the numbers of nvidia-smi.
_GPU_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@final
class AttemptCommand:
    """The command of a run, as one attempt executes it.

    Args:
        args: The supervisor's arguments.
        header: The header of the manifest generation.
        entry: The manifest entry of the run in that generation.
        run: The record of the run.
        host: The machine that it executes on.

    Attributes:
        resources: The resources of the attempt.
        snapshot: The folder of its code; None if the generation names none.
        gpus: The GPUs of its slot.
        cores: The cores of its slot.
    """

    def __init__(
        self, args: SupervisorArgs, header: ManifestHeader, entry: ManifestEntry, run: RunRecord, host: Host
    ) -> None:
        runs = os.path.dirname(os.path.dirname(args.run_dir))
        self.resources: Resources = host.resources or entry.resources
        self.snapshot = None if header.snapshot is None else os.path.join(runs, SNAPSHOTS, header.snapshot)
        self.gpus = args.gpus
        self.cores = args.cores
        self._run_dir = args.run_dir
        self._run = run
        self._sweep_file = header.file
        self._has_predecessors = bool(entry.requires)
        self._is_scheduled = host.job_id is not None

    @property
    def threads(self) -> int | None:
        """The number of threads for XLA and BLAS; None if the run uses a GPU."""
        return None if self.gpus or self.resources.gpus_per_node else self.resources.cpus_per_task

    def words(self, python: str | None) -> tuple[str, ...]:
        """Return the command line.

        Args:
            python: The Python interpreter inside a container; None for the host's.
        """
        if self._run.command is None:
            python = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
            return (python, "-m", "s5", "train", self._run_dir)
        return self._program.words

    @property
    def _program(self) -> ProgramWords:
        return program_words(self._run, self._run_dir, os.environ.get(CWD_VARIABLE) or os.getcwd(), self._sweep_file)

    def call(self, folder: str, python: str | None, handed: Sequence[int]) -> CommandCall:
        """Return the call of the command, which a runtime then executes.

        Args:
            folder: The attempt's folder.
            python: The Python interpreter inside a container; None for the host's.
            handed: The descriptors that the command inherits, the supervisor's pipe first.

        Raises:
            OSError: If the file with the folders of the run's predecessors cannot be written.
            LaunchError: If a file that the command named when the run was submitted is gone.
        """
        for word, path in self._program.lost.items() if self._run.command is not None else ():
            raise LaunchError(f"{word}: there is no file {path} here; there was one when the run was submitted")
        variables = {
            RUN_DIR_VARIABLE: self._run_dir,
            ATTEMPT_DIR_VARIABLE: folder,
            SUPERVISOR_PIPE_VARIABLE: str(handed[0]),
            AFTER_VARIABLE: write_dependencies(self._run_dir, folder) if self._has_predecessors else "",
            **self._device_variables(),
        }
        if self.resources.gpus_per_node:
            variables[PLATFORM_VARIABLE] = "gpu"
        if self.resources.tasks == 1:
            variables["JAX_NUM_PROCESSES"] = "1"  # whatever a Slurm step around it says
        return CommandCall(
            command=self.words(python),
            variables=variables,
            folder=folder,
            snapshot=self.snapshot,
            resources=self.resources,
            # A scheduler sets CUDA_VISIBLE_DEVICES itself, and more exactly than by the numbers in the record.
            gpus=() if self._is_scheduled else self.gpus,
            cores=self.cores or self._scheduled_cores(),
            handed=len(handed),
        )

    def _scheduled_cores(self) -> tuple[int, ...]:
        """Return the cores that a scheduler allows this process; empty if it allows all cores."""
        cores = tuple(sorted(os.sched_getaffinity(0)))
        return cores if self._is_scheduled and len(cores) < (os.cpu_count() or 0) else ()

    def _device_variables(self) -> dict[str, str]:
        """Return the variables that limit the command to its GPUs, or to its cores."""
        if self._is_scheduled and self.resources.gpus_per_node:
            return _GPU_ORDER  # the scheduler has set CUDA_VISIBLE_DEVICES
        if self.gpus:
            return {**_GPU_ORDER, "CUDA_VISIBLE_DEVICES": ",".join(map(str, self.gpus))}
        # A run that asked for no GPU must not see any.
        threads = str(self.resources.cpus_per_task)
        return {"CUDA_VISIBLE_DEVICES": "", **dict.fromkeys(_THREAD_VARIABLES, threads)}
