"""The port of process 0, to which the other processes of a run connect."""

# The port is one of the highest 4096, as JAX itself chooses under Slurm. No service has an assigned port in this range.
_PORTS = 4096


def coordinator_port(job: int) -> int:
    """Return the port of process 0.

    Args:
        job: A number that identifies the job, so that two jobs on one node have different ports.
    """
    return 65536 - _PORTS + job % _PORTS
