"""The local backend: a queue that shares the GPUs and CPU cores of this machine among runs."""
