"""The backends, which schedule the attempts of a sweep: a queue on this machine, or Slurm."""
