"""Executes one attempt of a run, on the machine where it runs: `python -m launch.supervise`."""
