"""Which variables of the user's shell reach the programs that the launcher starts.

A shell inside of an allocation, a job step or an MPI job has variables that describe this job. Others are options of
Slurm's commands, container runtimes, JAX or W&B. Most of them would change what the profile and the sweep file ask
for, or the numbers of a run. These are dropped, unless the profile's `env` names them. The page docs/environment.md
lists them with their documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from launch.specs.container import PASS_VARIABLE


class Family(NamedTuple):
    """Variables that one kind of program reads.

    Attributes:
        dropped: The names that do not reach the programs; one that ends with `*` stands for all names with this prefix.
        kept: The exceptions, written in the same way.
        told: The backend or the runtime whose users are told of a dropped variable, since they probably set it to
            change the runs; `runs` for the users of all; empty for none.
    """

    dropped: tuple[str, ...]
    kept: tuple[str, ...] = ()
    told: str = ""


FAMILIES = (
    # Descriptions of the job that the shell is part of, and options of Slurm's commands. What is kept says which
    # cluster is meant and who asks.
    Family(
        dropped=(
            *("SLURM_*", "SLURMD_*", "_SLURM_SPANK_OPTION_*", "SPANK_*", "SRUN_*", "SALLOC_*"),
            *("SQUEUE_*", "SACCT_*", "SINFO_*", "SCANCEL_*", "SCONTROL_*"),
        ),
        kept=("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_*"),
    ),
    Family(dropped=("SBATCH_*",), told="slurm"),
    # The ranks of processes that other programs have started.
    Family(dropped=("PMI_*", "PMIX_*", "PALS_*", "OMPI_*", "MV2_*", "MPI_LOCAL*", "I_MPI_*")),
    Family(
        dropped=("DOCKER_*", "BUILDKIT_*", "BUILDX_*", "COMPOSE_*"),
        kept=(
            *("DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT"),
            *("DOCKER_HOST", "DOCKER_TLS*"),
        ),
        told="docker",
    ),
    # CONTAINER_HOST would make Podman the client of another machine, which the supervisor cannot watch.
    Family(
        dropped=("PODMAN_*", "CONTAINER_*", "BUILDAH_*", "CONTAINERS_*", "STORAGE_*"),
        kept=("CONTAINERS_CONF", "CONTAINERS_*_CONF", "CONTAINERS_CONF_OVERRIDE", "STORAGE_DRIVER", "STORAGE_OPTS"),
        told="podman",
    ),
    Family(
        dropped=("APPTAINER*", "SINGULARITY*"),
        kept=tuple(
            f"{program}_{name}"
            for program in ("APPTAINER", "SINGULARITY")
            for name in ("CACHEDIR", "CONFIGDIR", "DOCKER_*", "TMPDIR")
        ),
        told="apptainer",
    ),
    Family(
        dropped=("ENROOT_*", "PYXIS_*"),
        kept=("ENROOT_CACHE_PATH", "ENROOT_CONFIG_PATH", "ENROOT_DATA_PATH", "ENROOT_RUNTIME_PATH", "ENROOT_TEMP_PATH"),
        told="pyxis",
    ),
    Family(dropped=("CH_*",), kept=("CH_IMAGE_AUTH", "CH_IMAGE_CACHE", "CH_IMAGE_STORAGE"), told="charliecloud"),
    Family(dropped=("NVIDIA_*",), told="runs"),
    # The ranks of the shell's own job; then settings of JAX, which the config of a run or the launcher gives.
    Family(dropped=("JAX_COORDINATOR_*", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "JAX_LOCAL_DEVICE_IDS")),
    Family(dropped=("JAX_*", "JAX2TF_*", "MOCK_NUM_GPU_PROCESSES"), told="runs"),
    # What is kept decides how memory is allocated, and changes no number.
    Family(
        dropped=("XLA_*", "TF_XLA_*", "TF_CUDNN_*", "TF_GPU_*", "LIBTPU_*", "CUBLAS_*"),
        kept=("XLA_PYTHON_CLIENT_*", "TF_GPU_ALLOCATOR"),
        told="runs",
    ),
    # What is kept says who writes, to which server, and where files lie; the rest stands in a run's config.
    Family(
        dropped=("WANDB_*", "_WANDB_*"),
        kept=(
            *("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_CREDENTIALS_FILE"),
            *("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_HTTP_PROXY", "WANDB_HTTPS_PROXY"),
            *("WANDB_HTTP_TIMEOUT", "WANDB_INSECURE_DISABLE_SSL", "WANDB_USERNAME", "WANDB_USER_EMAIL"),
        ),
        told="runs",
    ),
)
# Devices of the shell's own job. On this machine they say which of its GPUs the user may use.
_DEVICES = (
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for programs on this machine: without the variables that are dropped."""
    return {name: value for name, value in environment.items() if not _is_dropped(name, environment)}


def submission_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Slurm's commands; `sbatch` hands it to the job, so it names no devices either."""
    return {name: value for name, value in clean_environment(environment).items() if name not in _DEVICES}


def dropped_settings(environment: Mapping[str, str], *, backend: str, runtime: str) -> list[str]:
    """Return the names of the dropped variables with which the user probably wanted to change the runs, sorted."""
    told = {backend, runtime, "runs"}
    return sorted(
        name
        for name in environment
        if (family := find_family(name)) is not None and family.told in told and _is_dropped(name, environment)
    )


def find_family(name: str) -> Family | None:
    """Return the first family that a variable is part of; None if it is in no family."""
    return next((family for family in FAMILIES if _matches(name, family.dropped)), None)


def _is_dropped(name: str, environment: Mapping[str, str]) -> bool:
    """Return whether a variable is dropped: a family drops it, and no profile sets it."""
    family = find_family(name)
    if family is None or _matches(name, family.kept):
        return False
    return name not in environment.get(PASS_VARIABLE, "").split(",")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        name.startswith(start) and name.endswith(end) and len(name) >= len(start) + len(end) if star else name == start
        for start, star, end in (pattern.partition("*") for pattern in patterns)
    )
