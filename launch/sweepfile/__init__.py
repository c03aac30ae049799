"""The language of sweep files: YAML to `Sweep`. Pure."""
