"""Containers: engines, images, and how a command enters one."""
