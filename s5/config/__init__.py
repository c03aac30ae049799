"""The configuration of a run: its keys, its composition from files and overrides, and its identity. Free of JAX."""
