"""The SHA-256 of an image file; it is stored, and computed again only if the file has changed."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from launch.errors import LaunchError, StoreError
from launch.store.files import replace_file
from s5.run_dir.json_file import parse_json
from s5.run_dir.regular_file import read_regular


def file_checksum(file: Path, folder: Path) -> str:
    """Return the SHA-256 of a file as `sha256:…`; store it in `folder` if that can be written.

    Raises:
        LaunchError: If the file cannot be read.
    """
    try:
        status = os.stat(file)
        stamp = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        memory = folder / f".sum-{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = parse_json(read_regular(memory))
            if said["stamp"] == stamp and said["file"] == str(file):
                return said["sum"]
        with file.open("rb") as content:
            total = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    except OSError as error:
        raise LaunchError(f"{file}: cannot be read: {error.strerror}") from error
    with suppress(OSError, StoreError):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(str(memory), json.dumps({"file": str(file), "stamp": stamp, "sum": total}).encode())
    return total
