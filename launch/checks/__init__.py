"""The checks of `launch doctor`, one subject a file."""
