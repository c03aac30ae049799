"""State space layers, one module per paper, and shared modules for scan, discretization and initial values."""
