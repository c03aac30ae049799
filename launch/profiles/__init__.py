"""Profiles: backend, runtime and site settings under one name."""
