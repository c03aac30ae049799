"""The actions of `launch data`."""
