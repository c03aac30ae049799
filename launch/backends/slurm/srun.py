"""A command of several processes: one job step, started by srun from the first node. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from launch.containers.runtimes import HostCommand
from launch.specs.resources import Resources
from s5.run_dir.coordinator import coordinator_port
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE

# How long the others may go on once one has ended: a checkpoint is not cut short, and the death of one ends all.
_WAIT_S = 60


def srun_call(call: HostCommand, resources: Resources, environment: Mapping[str, str], node: str) -> HostCommand:
    """Return the call that starts a command once for every task of a job.

    Args:
        call: The command.
        resources: How many tasks there are on how many nodes.
        environment: The variables that Slurm sets for the job.
        node: The name of this node, the first, by which the others reach process 0.
    """
    tasks = resources.tasks
    options = [
        f"--nodes={resources.nodes}",
        f"--ntasks={tasks}",
        f"--ntasks-per-node={resources.tasks_per_node}",
        f"--cpus-per-task={resources.cpus_per_task}",  # from Slurm 22.05 a step does not take it over
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
    variables.pop(SUPERVISOR_PIPE_VARIABLE, None)  # a pipe does not reach other nodes; Slurm ends the step with its job
    return HostCommand(command=("srun", *options, *call.command), environment=variables)


def name_of(node: str | None) -> str:
    """Return the name by which other nodes find this one: Slurm's, if it can be resolved."""
    import socket  # most runs have one process

    own = socket.gethostname()
    if node is None:
        return own
    try:
        socket.getaddrinfo(node, None)
    except OSError:
        return own
    return node
