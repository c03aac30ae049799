"""The files of the launcher: run directories, manifests, attempts, locks. A kill leaves each of them whole."""
