"""Profiles: named settings of a machine or a cluster: backend, runtime, site."""
