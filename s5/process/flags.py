"""The environment variables that change how JAX and XLA compute: they are dropped, or recorded with a run."""

import os
from collections.abc import Mapping, MutableMapping

from s5.errors import UserError, say

# The config, the launcher or the program gives these settings; a variable of the shell has no part in them.
_JAX = ("JAX_", "JAX2TF_", "MOCK_NUM_GPU_PROCESSES")
# The exceptions: the platform, the processes of a run, and what only tells more about a program.
_KEPT = (
    *("JAX_PLATFORMS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "JAX_COORDINATOR_", "JAX_LOCAL_DEVICE_IDS"),
    *("JAX_CPU_COLLECTIVES_IMPLEMENTATION", "JAX_CUDA_VISIBLE_DEVICES", "JAX_ROCM_VISIBLE_DEVICES"),
    *("JAX_DEBUG_NANS", "JAX_DEBUG_INFS", "JAX_DEBUG_LOG_MODULES", "JAX_DISTRIBUTED_DEBUG", "JAX_DUMP_IR_"),
    *("JAX_EXPLAIN_CACHE_MISSES", "JAX_LOG", "JAX_TRACEBACK_", "JAX_ENABLE_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE_"),
)
# XLA and NVIDIA's libraries read these when they start, so they cannot be overridden here.
_RECORDED = ("XLA_FLAGS", "TF_XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG")
# Flags of XLA that change no number.
_HARMLESS = ("--xla_dump", "--xla_force_host_platform_device_count", "--xla_hlo_profile", "--xla_gpu_cuda_data_dir")


def drop_settings(environment: MutableMapping[str, str]) -> None:
    """Remove the variables with settings of JAX that would change a run; say which. Call this before JAX is imported.

    Args:
        environment: `os.environ`.
    """
    dropped = sorted(name for name in environment if name.startswith(_JAX) and not name.startswith(_KEPT))
    for name in dropped:
        del environment[name]
    if dropped:
        say(f"s5: not used: {', '.join(dropped)}; the config alone decides how a run computes")


def read_flags(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that change how XLA computes, without flags that change no number. The order is sorted."""
    words = {name: environment.get(name, "").split() for name in _RECORDED}
    told = {name: sorted(word for word in own if not word.startswith(_HARMLESS)) for name, own in words.items()}
    return {name: " ".join(own) for name, own in told.items() if own}


def check_flags(facts: Mapping[str, object], *, subset: bool = False) -> None:
    """Check that this process computes with the flags that a checkpoint was computed with.

    Args:
        facts: `Checkpoint.environment`; checkpoints of older versions have no flags, and are not checked.
        subset: Whether flags of the checkpoint may be missing here: another device may not know them.

    Raises:
        UserError: If a variable has other flags here.
    """
    before = facts.get("flags")
    if not isinstance(before, Mapping):
        return
    now = read_flags()
    for name in _RECORDED:
        then, here = (str(flags.get(name, "")).split() for flags in (before, now))
        if set(here) - set(then) or (not subset and set(then) - set(here)):
            raise UserError(
                f"{name} is {' '.join(here) or 'not set'}, and the run was computed with "
                f"{' '.join(then) or 'no such flags'}: the numbers would differ",
                hint=f"{_remedy(name, then)} before Python starts",
            )
        if then and not here:
            say(f"s5: the run was computed with {name}={' '.join(then)}: numbers may differ in their last digits")


def _remedy(name: str, then: list[str]) -> str:
    return f'set {name}="{" ".join(then)}"' if then else f"unset {name}"
