"""The files of the launcher: run directories, manifests, attempts, locks. No other package writes its state."""
