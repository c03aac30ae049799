"""What a run asks for: resources, an image, mounts, a container. Pure data."""
