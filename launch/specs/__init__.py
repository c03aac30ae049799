"""The things that a run can ask for: resources, an image, mounts, a container. Pure data."""
