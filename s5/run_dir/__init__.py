"""The files in a run directory, and the lock of the process that is writing them. Free of JAX."""
