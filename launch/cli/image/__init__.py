"""The actions of `launch image`."""
