"""The container engines of this machine, Docker and Podman: queries to an engine, and the Docker driver process."""
