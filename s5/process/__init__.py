"""The training process and its host: devices, the other processes of the run, stop requests, memory pages."""
