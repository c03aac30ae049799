"""What an attempt executes: the command line, its variables, its share of the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import final

from launch.containers.runtimes import CommandCall
from launch.specs.resources import Resources
from launch.store.files import SNAPSHOTS
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
# CUDA by itself numbers the fastest GPU 0, and nvidia-smi does not.
_GPU_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@final
class AttemptCommand:
    """The command of a run, as one attempt executes it.

    Args:
        args: What the supervisor was told.
        header: Of the manifest generation.
        entry: Of the run in that generation.
        run: The run.
        host: Where it executes.

    Attributes:
        resources: What the attempt is given.
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
        self._has_predecessors = bool(entry.requires)
        self._is_scheduled = host.job_id is not None

    @property
    def threads(self) -> int | None:
        """How many threads XLA and BLAS are given; None if a GPU does the work."""
        return None if self.gpus or self.resources.gpus_per_node else self.resources.cpus_per_task

    def words(self, python: str | None) -> tuple[str, ...]:
        """Return the command line.

        Args:
            python: The interpreter inside a container; None for the host's.
        """
        if self._run.command is None:
            python = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
            return (python, "-m", "s5", "train", self._run_dir)
        program, *words = self._run.command
        # A relative program is meant from where the user typed the command, and it starts in the attempt's folder.
        if os.sep in program:
            program = os.path.join(os.environ.get(CWD_VARIABLE) or os.getcwd(), program)
        return (program, *words)

    def call(self, folder: str, python: str | None, handed: Sequence[int]) -> CommandCall:
        """Return what a runtime is asked to execute.

        Args:
            folder: The attempt's folder.
            python: The interpreter inside a container; None for the host's.
            handed: The descriptors that the command is handed, the supervisor's pipe first.

        Raises:
            OSError: If the file that names the runs before this one cannot be written.
        """
        variables = {
            RUN_DIR_VARIABLE: self._run_dir,
            ATTEMPT_DIR_VARIABLE: folder,
            SUPERVISOR_PIPE_VARIABLE: str(handed[0]),
            AFTER_VARIABLE: write_dependencies(self._run_dir, folder) if self._has_predecessors else "",
            **self._device_variables(),
        }
        if self.resources.gpus_per_node:
            variables[PLATFORM_VARIABLE] = "gpu"
        return CommandCall(
            command=self.words(python),
            variables=variables,
            folder=folder,
            snapshot=self.snapshot,
            resources=self.resources,
            # A scheduler names the GPUs it gives in more detail than by the numbers that are recorded.
            gpus=() if self._is_scheduled else self.gpus,
            cores=self.cores or self._scheduled_cores(),
            handed=len(handed),
        )

    def _scheduled_cores(self) -> tuple[int, ...]:
        """Return the cores that a scheduler keeps this process to; empty if that is all of them."""
        cores = tuple(sorted(os.sched_getaffinity(0)))
        return cores if self._is_scheduled and len(cores) < (os.cpu_count() or 0) else ()

    def _device_variables(self) -> dict[str, str]:
        """Return the variables that keep the command to its GPUs, or to its cores."""
        if self._is_scheduled and self.resources.gpus_per_node:
            return _GPU_ORDER  # the scheduler has set which ones
        if self.gpus:
            return {**_GPU_ORDER, "CUDA_VISIBLE_DEVICES": ",".join(map(str, self.gpus))}
        # A run that asked for no GPU must not see any.
        threads = str(self.resources.cpus_per_task)
        return {"CUDA_VISIBLE_DEVICES": "", **dict.fromkeys(_THREAD_VARIABLES, threads)}
