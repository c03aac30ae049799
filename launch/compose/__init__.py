"""Compose the runs of a sweep: give each its checked config and its identity."""
