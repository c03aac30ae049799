"""What runs published: tables, files and pages."""
