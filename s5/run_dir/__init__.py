"""The files of a run directory, and the lock of the process that writes them. Free of JAX."""
