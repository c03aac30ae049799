"""Download of published files, when a user requests it. A download is resumed where it stopped, and verified."""

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from s5.catalog import DataError
from s5.data.progress import Progress

_BLOCK = 1 << 20
_TIMEOUT_S = 30.0


def fetch(url: str, path: Path, *, sha256: str | None = None, size: int | None = None) -> None:
    """Download a file, or the rest of it; do nothing if the file exists.

    Args:
        url: The address of the file.
        path: The path to download to; an incomplete file is `PATH.part`.
        sha256: The published checksum; None if there is no checksum.
        size: The published size in bytes; None if it is not known.

    Raises:
        DataError: If the file cannot be downloaded or has another checksum.
    """
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _fetch_rest(url, part, size)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        facts = ([f"{size:,} bytes"] if size else []) + ([f"sha256 {sha256}"] if sha256 else [])
        raise DataError(
            f"{url}: cannot be fetched: {reason}",
            hint=f"fetch it on another machine and put it at {path}" + (f" ({', '.join(facts)})" if facts else ""),
        ) from error
    found = _sha256(part)
    if sha256 is not None and found != sha256:
        part.unlink()
        raise DataError(
            f"{url}: the file has sha256 {found}, not {sha256}", hint="try again, or fetch it on another machine"
        )
    os.replace(part, path)


def _fetch_rest(url: str, part: Path, size: int | None) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # `part` is complete; the caller verifies its checksum
            return
        raise
    with response:
        if have and response.status != 206:
            have = 0  # the server does not support ranges
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else size or 0
        progress = Progress(f"fetching {part.stem}", total, "bytes")
        progress.resume_at(have)
        with part.open("ab" if have else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                have += len(block)
                progress.advance(len(block))
    if total and have < total:
        raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes; repeat the command to resume")
    progress.finish()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
