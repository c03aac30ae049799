"""The checks of `launch doctor` and `launch image check`; each module checks one subject."""
