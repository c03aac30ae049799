"""The training side: S5 and its relatives in JAX, their data and their training. Never imports the launcher."""
