"""What a run leaves behind in its folder, and who works on it. Free of JAX."""
