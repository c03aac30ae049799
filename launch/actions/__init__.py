"""What a command does to a sweep: submit, drive, retry, cancel, clean up. One use case a file."""
