"""The parts of the user's environment that do not reach Slurm's commands and the runs.

A shell inside of an allocation, a job step or an MPI job has variables that describe this job. Others, such as
`SBATCH_PARTITION`, are options of Slurm's commands. Both would change what the profile and the sweep file ask for.
"""

from __future__ import annotations

from collections.abc import Mapping

# Options of Slurm's commands, and the description of the job that a process is part of.
_SLURM = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SCONTROL_")
# These say which cluster is meant, and who asks.
_CLUSTER = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET"})
# The ranks of processes that others have started.
_RANKS = (
    "PMI_",
    "PMIX_",
    "OMPI_",
    "MV2_",
    "JAX_COORDINATOR_",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
    "JAX_LOCAL_DEVICE_IDS",
)


def without_callers_job(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the variables of a surrounding job, and without options of Slurm's commands."""
    return {
        name: value
        for name, value in environment.items()
        if name in _CLUSTER or not name.startswith((*_SLURM, *_RANKS))
    }


def unused_options(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables with options of sbatch, which have no effect on a submission."""
    return sorted(name for name in environment if name.startswith("SBATCH_"))
