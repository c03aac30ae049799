"""Containers: engines, images, and the runtimes that execute a command in a container."""
