"""State space models: one paper per file, on top of the shared scan, discretizations and initial values."""
