"""The launcher: turns a sweep file into runs and sees them through. Never imports JAX."""
