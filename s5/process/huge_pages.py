"""Huge memory pages for the training process.

A training step on a CPU allocates and frees hundreds of megabytes. For mnist5k/sequential this causes about 170,000
page faults a step with pages of 4 KiB, and 1,000 with huge pages (`benchmarks/huge_pages.py` measures both). The C
library requests huge pages from the kernel if a tunable is set, and reads the tunable only when a process starts. So
the process restarts itself once.
"""

import os
import sys
from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"


def with_huge_pages(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return an environment in which a process gets huge pages.

    Args:
        environment: The current environment.

    Returns:
        The environment with the tunable added; None if the tunable is already set, to any value.
    """
    tunables = environment.get(VARIABLE, "")
    if TUNABLE in tunables:
        return None
    # 1: request transparent huge pages by madvise; the kernel may refuse.
    return {**environment, VARIABLE: ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))}


def restart_with_huge_pages() -> None:
    """Restart this process with huge pages; do nothing if the tunable is already set, or without glibc."""
    environment = with_huge_pages(os.environ)
    if environment is not None and _has_glibc():
        # For the kernel it is still the same process, with the same number, descriptors and locks.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False
