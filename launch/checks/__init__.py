"""What `launch doctor` looks at, one subject a file."""
