"""The names of GPUs on one machine."""

from __future__ import annotations

# A number in the order of the PCI bus, as `nvidia-smi` counts; for a slice of a GPU (a MIG device) its UUID.
Gpu = int | str


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Return the GPUs of a list such as `0,2` or `MIG-377e0049-…`, in the form of `CUDA_VISIBLE_DEVICES`."""
    words = [word.strip() for word in text.split(",")]
    return tuple(int(word) if word.isdigit() else word for word in words if word)
