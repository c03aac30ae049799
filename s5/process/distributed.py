"""The processes that train one run together: which of them this one is, how they find each other, and how they part.

A launcher says it through the environment, and what it says first holds:

    JAX_NUM_PROCESSES, JAX_PROCESS_ID, JAX_COORDINATOR_ADDRESS      (JAX_NUM_PROCESSES=1: this process is alone)
    the tasks of a step that srun has started: SLURM_STEP_NUM_TASKS, SLURM_PROCID, SLURM_STEP_NODELIST; the
    coordinator is then the step's first node, and JAX_COORDINATOR_ADDRESS or JAX_COORDINATOR_PORT say otherwise

A process that is alone never starts any of it. Free of JAX until the processes join.
"""

import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from s5.errors import PeerLost, UserError, say

# The processes of a run may start minutes apart: one node pulls an image that another has.
INITIALIZATION_TIMEOUT_S = 300
# Where a peer is silent for so long (a node without power; a process that ends is noticed at once), this one ends.
HEARTBEAT_TIMEOUT_S = 60

_PORTS = 4096  # the highest ports: those that nobody is given by name


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """Which of the processes of a run this one is.

    Attributes:
        rank: Its number, from 0.
        size: How many there are.
        coordinator: `HOST:PORT` at which process 0 is found; empty for a process that is alone.
        local_devices: Which of the devices it sees are its own; None for all.
    """

    rank: int = 0
    size: int = 1
    coordinator: str = ""
    local_devices: tuple[int, ...] | None = None

    @property
    def is_single(self) -> bool:
        """Whether the run has one process, as most have."""
        return self.size == 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0


def read_process_group(environment: Mapping[str, str]) -> ProcessGroup:
    """Return the processes that an environment describes.

    Args:
        environment: Such as `os.environ`.

    Raises:
        UserError: Where it names more than one process and not which of them this is, or not where process 0 is.
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
            "these do not say which process this is and where process 0 is",
            hint=f"set JAX_PROCESS_ID to 0 to {size - 1} and JAX_COORDINATOR_ADDRESS to HOST:PORT of process 0, "
            "or start the processes with srun",
        )
    return ProcessGroup(rank=rank, size=size, coordinator=coordinator, local_devices=_own_gpus(environment))


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if text and not text.isdigit():
        raise UserError(f"{name}={text}: a whole number is needed", hint=f"unset {name} for a run of one process")
    return int(text) if text else None


def _first_node(environment: Mapping[str, str]) -> str:
    """Return the address on the first node of the step: `node[003-005],other` begins with node003."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", environment["SLURM_STEP_NODELIST"])
    host = "".join(part or "" for part in match.groups()) if match else ""
    # Of the job and the step, so that two steps of one job have two ports.
    step = sum(_number(environment, name) or 0 for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = environment.get("JAX_COORDINATOR_PORT") or str(65536 - _PORTS + step % _PORTS)
    return f"{host}:{port}" if host else ""


def _own_gpus(environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return this task's share of a node's GPUs where several tasks of the node see all of them; None for all."""
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
    """Have the processes of a run find each other; does nothing for a process that is alone.

    Call it before JAX starts a device. Where they do not all come in time, JAX aborts the process.

    Raises:
        PeerGone: Where this one cannot serve or reach them at all.
    """
    if processes.is_single:
        return
    import jax

    say(
        f"s5: process {processes.rank} of {processes.size} joins the others at {processes.coordinator} "
        f"(within {INITIALIZATION_TIMEOUT_S} s)"
    )
    # Gloo greets on stdout, which is for data.
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # It would take SIGTERM away from s5.process.shutdown.
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
    except Exception as error:  # whatever the coordination service throws
        raise PeerLost(
            f"process {processes.rank} of {processes.size} does not reach the others at {processes.coordinator} "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
    for number, handler in handlers.items():
        signal.signal(number, handler)


def shutdown(processes: ProcessGroup) -> None:
    """Wait until every process has come to its end; call it where all of them come to the same end."""
    if processes.is_single:
        return
    import jax

    try:
        jax.distributed.shutdown()
    except Exception as error:  # a peer that ended otherwise
        raise PeerLost(f"a process of this run ended before process {processes.rank} ({error})") from error


def is_peer_failure(error: Exception) -> bool:
    """Return whether an error of a step is that another process is gone, or out of reach."""
    return isinstance(error, PeerLost) or re.search(r"Gloo|NCCL|coordination.?service", str(error), re.I) is not None


def exit_now(code: int) -> None:
    """End this process without waiting for the others, which may wait for it: they see it go, and end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
