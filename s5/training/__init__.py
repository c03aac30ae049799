"""Training and evaluation: the loop, its steps, the optimizer, checkpoints, metrics."""
