"""The processes that train one run together: their numbers, and their connection and disconnection.

They are read from the environment. The first of these groups of variables that is set is used:

    JAX_NUM_PROCESSES, JAX_PROCESS_ID, JAX_COORDINATOR_ADDRESS      (JAX_NUM_PROCESSES=1: a single process)
    the tasks of an srun step: SLURM_STEP_NUM_TASKS, SLURM_PROCID, SLURM_STEP_NODELIST; the
    coordinator is the step's first node, unless JAX_COORDINATOR_ADDRESS or JAX_COORDINATOR_PORT is set

A single process does not connect to anything. Only `initialize` and `shutdown` import JAX.
"""

import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from s5.errors import PeerLost, UserError, say
from s5.run_dir.coordinator import coordinator_port

# The processes of a run may start minutes apart: one node pulls an image that another already has.
INITIALIZATION_TIMEOUT_S = 300
# This process ends if a peer is silent for longer, since its node may have lost power. An exit is noticed at once.
HEARTBEAT_TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """The processes of a run, and the number of the current process among them.

    Attributes:
        rank: The number of this process, from 0.
        size: The number of processes.
        coordinator: `HOST:PORT` of process 0; empty for a single process.
        local_devices: The numbers of the visible devices that this process uses; None for all.
    """

    rank: int = 0
    size: int = 1
    coordinator: str = ""
    local_devices: tuple[int, ...] | None = None

    @property
    def is_single(self) -> bool:
        """Whether the run has a single process, as most runs have."""
        return self.size == 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and the messages of the run; only process 0 does."""
        return self.rank == 0


def read_process_group(environment: Mapping[str, str]) -> ProcessGroup:
    """Read the process group from environment variables.

    Args:
        environment: The environment variables, such as `os.environ`.

    Raises:
        UserError: If there are several processes, but no valid number of this process or no address of process 0.
    """
    in_step = "SLURM_STEP_NODELIST" in environment and "SLURM_STEP_NUM_TASKS" in environment
    size = _number(environment, "JAX_NUM_PROCESSES")
    if size is None:
        size = _number(environment, "SLURM_STEP_NUM_TASKS") if in_step else 1
    if size is None or size <= 1:
        return ProcessGroup()
    rank = _number(environment, "JAX_PROCESS_ID")
    if rank is None and in_step:
        rank = _number(environment, "SLURM_PROCID")
    coordinator = environment.get("JAX_COORDINATOR_ADDRESS") or (_first_node(environment) if in_step else "")
    if rank is None or not 0 <= rank < size or not coordinator:
        raise UserError(
            f"JAX_NUM_PROCESSES={size}, JAX_PROCESS_ID={rank}, JAX_COORDINATOR_ADDRESS={coordinator or None}: "
            "the number of this process or the address of process 0 is missing or wrong",
            hint=f"set JAX_PROCESS_ID to 0 to {size - 1} and JAX_COORDINATOR_ADDRESS to HOST:PORT of process 0, "
            "or start the processes with srun",
        )
    return ProcessGroup(rank=rank, size=size, coordinator=coordinator, local_devices=_own_gpus(environment))


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if text and not text.isdigit():
        raise UserError(f"{name}={text}: must be a whole number", hint=f"unset {name} for a run of one process")
    return int(text) if text else None


def _first_node(environment: Mapping[str, str]) -> str:
    """Return `HOST:PORT` of the step's first node; the host of `node[003-005],other` is node003."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", environment["SLURM_STEP_NODELIST"])
    host = "".join(part or "" for part in match.groups()) if match else ""
    # The port depends on the numbers of job and step, so that two steps of one job have different ports.
    step = sum(_number(environment, name) or 0 for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = environment.get("JAX_COORDINATOR_PORT") or str(coordinator_port(step))
    return f"{host}:{port}" if host else ""


def _own_gpus(environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return the share of this task if all tasks of a node see all its GPUs; None if it uses all visible GPUs."""
    per_node = re.fullmatch(r"(\d+)(?:\(x\d+\))?", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    tasks, place = int(per_node[1]) if per_node else 1, _number(environment, "SLURM_LOCALID")
    visible = len(list(filter(None, environment.get("CUDA_VISIBLE_DEVICES", "").split(","))))
    of_node = environment.get("SLURM_GPUS_ON_NODE", "")
    bound = of_node.isdigit() and visible < int(of_node)
    if "JAX_LOCAL_DEVICE_IDS" in environment or place is None or tasks == 1 or bound or visible < tasks:
        return None
    share = visible // tasks
    return tuple(range(place * share, (place + 1) * share))


def initialize(processes: ProcessGroup) -> None:
    """Connect the processes of a run; do nothing for a single process.

    Call it before JAX starts a device. If not all of them connect in time, JAX aborts the process.

    Raises:
        PeerLost: If this process cannot reach process 0, or process 0 cannot open its port.
    """
    if processes.is_single:
        return
    import jax

    say(
        f"s5: process {processes.rank} of {processes.size} connects to {processes.coordinator} "
        f"(within {INITIALIZATION_TIMEOUT_S} s)"
    )
    # Gloo prints messages to stdout, which is for data. They go to stderr; Python's own stdout stays.
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # JAX's preemption service would replace the SIGTERM handler of s5.process.shutdown.
    jax.config.update("jax_enable_preemption_service", False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)}
    try:
        jax.distributed.initialize(
            coordinator_address=processes.coordinator,
            num_processes=processes.size,
            process_id=processes.rank,
            local_device_ids=processes.local_devices,
            cluster_detection_method="deactivate",
            initialization_timeout=INITIALIZATION_TIMEOUT_S,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_S,
        )
    except Exception as error:  # the coordination service raises several types
        raise PeerLost(
            f"process {processes.rank} of {processes.size} cannot connect to {processes.coordinator} "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
    for number, handler in handlers.items():
        signal.signal(number, handler)


def shutdown(processes: ProcessGroup) -> None:
    """Disconnect, after every process has called this function; call it only at an exit that all processes reach.

    Raises:
        PeerLost: If another process has ended without this call.
    """
    if processes.is_single:
        return
    import jax

    try:
        jax.distributed.shutdown()
    except Exception as error:  # a peer has exited without this call
        raise PeerLost(f"a process of this run ended before process {processes.rank} ({error})") from error


def is_peer_failure(error: Exception) -> bool:
    """Return whether an error of a step means that another process has ended or cannot be reached."""
    return isinstance(error, PeerLost) or re.search(r"Gloo|NCCL|coordination.?service", str(error), re.I) is not None


def exit_now(code: int) -> None:
    """Exit without waiting for the other processes, which may wait for this one; they notice the exit and exit too."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
