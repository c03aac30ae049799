"""Read sweep files: from YAML to a `Sweep`, the list of all runs."""
