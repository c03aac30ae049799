"""The configuration of a run: what there is to set, which of it is science, how it is composed. Free of JAX."""
