"""What lies on disk: run directories, manifests, attempts, locks. The only writer of launcher state."""
