"""What the training process needs of its host: devices, other processes, stop requests, memory pages."""
