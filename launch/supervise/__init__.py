"""Execute one attempt of a run on this machine: `python -m launch.supervise`."""
