"""The port at which the processes of one run find each other."""

# The highest ports, as JAX itself takes under Slurm: no service has one of them by name.
_PORTS = 4096


def coordinator_port(job: int) -> int:
    """Return the port of process 0.

    Args:
        job: A number of the job, so that two jobs on one node have two ports.
    """
    return 65536 - _PORTS + job % _PORTS
