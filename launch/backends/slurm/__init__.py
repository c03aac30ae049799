"""The Slurm backend: Slurm's client programs, job arrays, the state of the queue, and the task on a node."""
