"""Large memory pages for the training process.

A training step on a CPU allocates and frees hundreds of megabytes. With pages of 4 KiB that is some 170,000 page faults
a step for mnist5k/sequential, with huge pages 1,000 (`benchmarks/huge_pages.py` measures both). The C library asks the
kernel for huge pages where a tunable says so, and reads it only at the start of a process: hence the process starts
itself anew, once.
"""

import os
import sys
from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"


def with_huge_pages(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return the environment in which a process gets huge pages.

    Args:
        environment: The present one.

    Returns:
        It with the tunable added, or None where it says something about huge pages already.
    """
    tunables = environment.get(VARIABLE, "")
    if TUNABLE in tunables:
        return None
    # 1: ask for transparent huge pages by madvise, which the kernel may grant or not.
    return {**environment, VARIABLE: ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))}


def restart_with_huge_pages() -> None:
    """Start this process anew with huge pages, unless it has been; nothing happens where there is no glibc."""
    environment = with_huge_pages(os.environ)
    if environment is not None and _has_glibc():
        # The same process to the kernel: its number, its descriptors and the locks they hold stay.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False
