"""The results of sweeps: tables, files and HTML pages."""
