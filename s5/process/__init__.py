"""The training process and its surroundings: devices, several processes, stop requests, memory pages."""
