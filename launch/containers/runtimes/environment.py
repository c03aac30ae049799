"""The environment variables of a command in a container: an explicit list, without secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping

from launch.containers.runtimes.base import CommandCall
from launch.specs.container import PASS_VARIABLE
from s5.run_dir.result import CWD_VARIABLE
from s5.run_dir.secret import is_secret

# The variables that schedulers, JAX, its libraries, this launcher and the training process read.
_FAMILIES = ("CUDA_", "JAX_", "LAUNCH_", "NCCL_", "S5_", "SLURM", "TF_CPP_", "WANDB_", "XLA_")
_NAMES = frozenset({"HOME", "LANG", "LC_ALL", "LOGNAME", "TZ", "USER", "XDG_CACHE_HOME"})
# Variables for the host only: its interpreter, its slots' locks, injected faults.
_OF_THE_HOST = frozenset({"LAUNCH_FAULT", "LAUNCH_PYTHON", "LAUNCH_SLOTS"})


def container_environment(call: CommandCall, surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return every variable that a runtime sets in a container.

    The image's own variables (such as PATH) stay; no other variable of the host enters.

    Args:
        call: The command. Its variables win over those of `surroundings`.
        surroundings: The environment of the calling process.
    """
    more = surroundings.get(PASS_VARIABLE, "").split(",")
    chosen = {
        name: value
        for name, value in surroundings.items()
        if (name.startswith(_FAMILIES) or name in _NAMES or name in more) and name not in _OF_THE_HOST
    }
    typed = surroundings.get(CWD_VARIABLE)  # data is in its folder `data` by default; the container cannot know that
    data = {} if typed is None else {"S5_DATA": os.path.join(typed, "data")}
    found = {**data, **chosen, **call.variables, "PYTHONUNBUFFERED": "1"}
    if call.snapshot is not None:
        # Otherwise Python would put the working folder, or that of a script, before the snapshot.
        found["PYTHONSAFEPATH"] = "1"
        own = found.get("PYTHONPATH")
        found["PYTHONPATH"] = os.pathsep.join([call.snapshot, own] if own else [call.snapshot])
    return {name: value for name, value in found.items() if not is_secret(name, value)}
