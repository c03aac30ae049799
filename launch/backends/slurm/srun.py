"""The srun command of a run with several processes: one job step, started from the first node."""

from __future__ import annotations

from collections.abc import Mapping

from launch.containers.runtimes import HostCommand
from launch.specs.resources import Resources
from s5.run_dir.coordinator import coordinator_port
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE

# How many seconds the other processes may continue once one has ended: long enough to write a checkpoint.
_WAIT_S = 60


def srun_call(call: HostCommand, resources: Resources, environment: Mapping[str, str], node: str) -> HostCommand:
    """Return a call of srun that starts a command once for every task of a job.

    Args:
        call: The command.
        resources: The numbers of nodes and tasks.
        environment: The variables that Slurm sets for the job.
        node: The name of this node, the first one; the other nodes reach process 0 by it.
    """
    tasks = resources.tasks
    options = [
        f"--nodes={resources.nodes}",
        f"--ntasks={tasks}",
        f"--ntasks-per-node={resources.tasks_per_node}",
        f"--cpus-per-task={resources.cpus_per_task}",  # since Slurm 22.05 a step does not inherit it from the job
        "--kill-on-bad-exit=0",
        f"--wait={_WAIT_S}",
        "--unbuffered",
        *(call.step or ()),
    ]
    job = int(environment.get("SLURM_JOB_ID") or 0) + int(environment.get("SLURM_RESTART_COUNT") or 0)
    variables = {
        "JAX_NUM_PROCESSES": str(tasks),
        "JAX_COORDINATOR_ADDRESS": f"{node}:{coordinator_port(job)}",
        **call.environment,
    }
    variables.pop(SUPERVISOR_PIPE_VARIABLE, None)  # a pipe cannot reach other nodes; Slurm ends the step with its job
    return HostCommand(command=("srun", *options, *call.command), environment=variables)


def name_of(node: str | None) -> str:
    """Return the name by which other nodes find this node: Slurm's name if it can be resolved, else the host name."""
    import socket  # most runs have one process

    own = socket.gethostname()
    if node is None:
        return own
    try:
        socket.getaddrinfo(node, None)
    except OSError:
        return own
    return node
