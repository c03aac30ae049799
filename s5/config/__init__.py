"""The configuration of a run: its keys, which of them are science, how it is composed. Free of JAX."""
