"""From a point of a sweep to a run: its checked configuration and its identity. Pure."""
