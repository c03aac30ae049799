"""The container engines of this machine, Docker's and Podman's: what is asked of them while they run."""
