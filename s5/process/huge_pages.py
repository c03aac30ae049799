"""Large memory pages for the training process.

A training step on a CPU allocates and frees hundreds of megabytes. With pages of 4 KiB that causes about 170,000 page
faults a step for mnist5k/sequential, with huge pages 1,000 (`benchmarks/huge_pages.py` measures both). The C library
asks the kernel for huge pages if a tunable says so, and reads the tunable only when a process starts. So the process
restarts itself once.
"""

import os
import sys
from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"


def with_huge_pages(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return an environment in which a process gets huge pages.

    Args:
        environment: The current one.

    Returns:
        The environment with the tunable added; None if the tunable is already set, to whatever value.
    """
    tunables = environment.get(VARIABLE, "")
    if TUNABLE in tunables:
        return None
    # 1: ask for transparent huge pages by madvise, which the kernel may grant or not.
    return {**environment, VARIABLE: ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))}


def restart_with_huge_pages() -> None:
    """Restart this process with huge pages, unless it was already; do nothing without glibc."""
    environment = with_huge_pages(os.environ)
    if environment is not None and _has_glibc():
        # To the kernel it stays the same process: it keeps its number, its descriptors and their locks.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False
