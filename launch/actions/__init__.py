"""The actions of the commands on a sweep: submit, start, retry, cancel, clean up. One action in each file."""
