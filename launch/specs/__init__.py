"""Data classes for the things that a run can ask for: resources, an image, mounts, container settings."""
