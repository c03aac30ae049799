"""Slurm as a backend. submitit is loaded only where something is submitted."""

from __future__ import annotations

from launch.backends.slurm.backend import SlurmBackend

__all__ = ["SlurmBackend"]
