"""Everything about Slurm: its client programs, job arrays, the queue's state, and the task on a node."""
