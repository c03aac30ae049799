"""The queue on this machine, over its GPUs and its CPU cores."""
