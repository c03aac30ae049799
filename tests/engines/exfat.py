"""A real file system without hard links: exFAT in a file, mounted with FUSE."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.packages import find

_BYTES = 64 << 20
_PACKAGES = "exfatprogs exfat-fuse"


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    """Return an empty folder on an exFAT file system."""
    programs = [find(name) for name in ("losetup", "mkfs.exfat", "mount.exfat-fuse", "fusermount")]
    losetup, mkfs, mount, unmount = (program or "" for program in programs)
    if os.getuid() != 0 or not all(programs) or not os.path.exists("/dev/fuse"):
        pytest.skip(f"only root can mount exFAT, with /dev/fuse and the packages {_PACKAGES}")
    image, folder = tmp_path / "exfat.img", tmp_path / "exfat"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(_BYTES)
    subprocess.run([mkfs, image], check=True, capture_output=True)
    device = subprocess.run([losetup, "--find", "--show", image], check=True, capture_output=True, text=True)
    try:
        subprocess.run([mount, device.stdout.strip(), folder], check=True, capture_output=True)
        yield folder
        subprocess.run([shutil.which("sync") or "sync"], check=False)
        subprocess.run([unmount, "-u", "-z", folder], check=True)
    finally:
        subprocess.run([losetup, "--detach", device.stdout.strip()], check=False)
