"""What Slurm is asked, and what is written down about it: client commands, the queue, arrays. Submits nothing."""
