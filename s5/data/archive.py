"""Unpacking of a published archive: the files of a data set are extracted into the data folder."""

import bz2
import contextlib
import fnmatch
import gzip
import hashlib
import lzma
import secrets
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from s5.catalog import Archive, DataError, DatasetInfo, data_root
from s5.catalog.search import abbreviate
from s5.data.progress import Progress

_BLOCK = 1 << 22
_DEBIAN = b"!<arch>\n"


def unpack(info: DatasetInfo, path: Path, root: str | None) -> Path:
    """Unpack a data set's files from an archive.

    The folder has a temporary name until it is complete, so a kill leaves no incomplete folder.

    Args:
        info: The data set.
        path: The archive: a tar file, compressed or not.
        root: The config's `data.root`.

    Returns:
        The folder with the files.

    Raises:
        DataError: If the archive is another one, is damaged, or lacks files, or if the target folder exists.
    """
    archive = _find_archive(info, path)
    _verify_checksum(archive, path)
    target = data_root(root) / archive.into
    if target.exists():
        lacking = _lacking(info, archive, target)
        without = f", and lacks {abbreviate(lacking)} of {info.name}" if lacking else ""
        raise DataError(f"{target}: exists already{without}", hint="remove or rename it, then repeat the command")
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_remnants(target)
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        _extract(info, archive, path, part)
        lacking = _lacking(info, archive, part)
        if lacking:
            raise DataError(f"{path}: lacks {abbreviate(lacking)} of {info.name}", hint=_expected_archives(info))
        part.rename(target)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged archive: {error}", hint=f"fetch it again: {archive.source}") from error
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _find_archive(info: DatasetInfo, path: Path) -> Archive:
    """Return the catalog's entry with the name of an archive; the first entry if no entry has this name."""
    if not info.archives:
        names = abbreviate([file.name for file in info.files])
        raise DataError(
            f"{path}: {info.name} does not come in an archive",
            hint=f"`--from FOLDER` takes a folder with {names}; or: {info.get}",
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file", hint=_expected_archives(info))
    return next((archive for archive in info.archives if archive.name == path.name), info.archives[0])


def _verify_checksum(archive: Archive, path: Path) -> None:
    size = path.stat().st_size
    if archive.sha256 is None:
        return
    digest, progress = hashlib.sha256(), Progress(f"checking {path.name}", size, "bytes")
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            progress.advance(len(block))
    if digest.hexdigest() != archive.sha256:
        sizes = "" if archive.bytes in (None, size) else f" and {size:,} bytes, not {archive.bytes:,}"
        raise DataError(
            f"{path}: not the published {archive.name}: sha256 {digest.hexdigest()}, not {archive.sha256}{sizes}",
            hint=f"fetch it again: {archive.source}",
        )


def _extract(info: DatasetInfo, archive: Archive, path: Path, part: Path) -> None:
    """Create the folder `part` and extract the needed members into it."""
    part.mkdir()
    progress, before = Progress(f"{info.name}: unpacking {path.name}", path.stat().st_size, "bytes"), 0
    with path.open("rb") as file, _decompress(file) as content, _open_tar(path, content) as tar:
        for member in tar:
            progress.advance(file.tell() - before)
            before = file.tell()
            place = _member_path(member.name, archive)
            if place is None or not member.isfile():
                continue
            (part / place).parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None
            with (part / place).open("wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)
        # tarfile reads a damaged header as the end. Reading the rest verifies the checksum of the compressed file.
        while content.read(_BLOCK):
            pass
    progress.finish()


def _lacking(info: DatasetInfo, archive: Archive, part: Path) -> list[str]:
    """Return the names of the data set's files that are not in the folder `part`."""
    form = next(form for form in info.forms if archive.into in form.folders)
    return [file.name for file in form.files if not any((part / f"{file.name}{end}").exists() for end in ("", ".gz"))]


def _decompress(file: Any) -> Any:
    """Return a reader of a file's decompressed content.

    For a Debian package, the reader is one of the archive inside it that holds the installed files.
    """
    start = _data_offset(file)
    file.seek(start)
    begin = file.read(6)
    file.seek(start)
    if begin.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if begin.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if begin.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(file)
    return file


def _data_offset(file: Any) -> int:
    """Return the offset of `data.tar` in a Debian package, its last member; 0 for any other file."""
    place = len(_DEBIAN)
    if file.read(place) != _DEBIAN:
        return 0
    # A member begins at an even byte. Its header has 60 bytes: a name of 16 bytes and, at byte 48, the size in decimal.
    while len(header := file.read(60)) == 60 and header[48:58].strip().isdigit():
        place += 60
        if header.startswith(b"data.tar"):
            return place
        size = int(header[48:58])
        place += size + size % 2
        file.seek(place)
    return 0


@contextlib.contextmanager
def _open_tar(path: Path, content: Any) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.open(fileobj=content, mode="r|")  # noqa: SIM115
    except tarfile.ReadError as error:
        raise DataError(f"{path}: not a tar archive: {error}") from error
    with tar:
        yield tar


def _member_path(name: str, archive: Archive) -> Path | None:
    """Return the path of a member below the target folder; None if it is not needed."""
    parts = PurePosixPath(name).parts
    parts = tuple(part for part in parts if part not in (".", "/"))
    if archive.folder:
        if archive.folder not in parts:
            return None
        # The innermost: the LRA archive has a folder inside another of the same name.
        last = len(parts) - 1 - parts[::-1].index(archive.folder)
        parts = parts[last + 1 :]
    if not parts or ".." in parts:
        return None
    inner = "/".join(parts)
    if any(fnmatch.fnmatch(inner, skip) or inner.startswith(f"{skip}/") for skip in archive.skip):
        return None
    return Path(*parts)


def _remove_remnants(target: Path) -> None:
    """Remove what a killed unpacking has left."""
    for part in target.parent.glob(f".{target.name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def _expected_archives(info: DatasetInfo) -> str:
    return "expected: " + " or ".join(f"{archive.name} ({archive.source})" for archive in info.archives)
