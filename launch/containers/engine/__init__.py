"""The container engines of this machine, Docker and Podman: questions to them, and the driver of a Docker container."""
