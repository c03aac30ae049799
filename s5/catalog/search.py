"""The search for the raw files of a data set, and the message about missing files. Standard library only."""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from s5.catalog.entry import Archive, DatasetInfo, FileInfo, Form, MissingData
from s5.catalog.paths import ROOT_VARIABLE, data_root

_MANY = 6  # more names than this are shortened in a message


def find_raw(info: DatasetInfo, root: str | None = None) -> dict[str, Path]:
    """Return the raw files of a data set, by their names in the catalog.

    Args:
        info: The data set.
        root: The config's `data.root`; if it is not None, system folders are not searched.

    Returns:
        The paths, plain or `.gz`, all in one folder and of one form.

    Raises:
        MissingData: If a file is missing; the message lists the files, the folders, addresses and checksums.
    """
    for form in info.forms:
        for place in _places(info, form, root):
            found = {file.name: _find(file, place) for file in form.files}
            if all(found.values()):
                return {name: path for name, path in found.items() if path is not None}
    raise _missing(info, root)


def _places(info: DatasetInfo, form: Form, root: str | None) -> Iterator[Path]:
    """Yield the folders to search for the files of a form, best first."""
    packages = {file.package for file in form.files if file.package}
    for package in packages:
        # find_spec reads the package's metadata and does not run its code.
        spec = importlib.util.find_spec(package)
        yield from map(Path, (spec and spec.submodule_search_locations) or ())
    if not packages:
        # A root that the user names may also be the folder of the files itself.
        itself = [""] * (root is not None and "" not in form.folders)
        yield from (data_root(root) / folder for folder in [*form.folders, *itself])
        if root is None:
            yield from map(Path, info.system_folders)


def _find(file: FileInfo, place: Path) -> Path | None:
    """Return the path of a file in the folder `place`, plain or gzipped; None if it does not exist."""
    if file.is_folder:
        return place / file.name if os.path.isdir(place / file.name) else None
    if file.package:
        names = [file.package_path]
    else:
        plain = [file.name, *file.aliases]
        names = plain + [f"{name}.gz" for name in plain if file.gzipped]
    return next((place / name for name in names if os.path.isfile(place / name)), None)


def _missing(info: DatasetInfo, root: str | None) -> MissingData:
    """Return the error about missing files, with the folders searched and the ways to get the files."""
    if not info.forms:
        return MissingData(f"data set {info.name}: not generated yet ({info.made_by})", hint=info.get)
    packed = ", plain or gzipped" if all(file.gzipped for file in info.files) else ""
    lines = [f"data set {info.name}: its files are missing. Needed in one folder{packed}:"]
    for number, form in enumerate(info.forms):
        lines += ["or:"] * (number > 0)
        lines += _about_files(form)
    lines += [line for archive in info.archives for line in _about_archive(archive)]
    places = [(place, form) for form in info.forms for place in _places(info, form, root)]
    lines.append("Searched:" if places else "The package is not installed.")
    lines += [f"  {place}{_lacks(form, place)}" for place, form in places]
    shipped = any(file.package for file in info.files)
    where = "" if shipped else f"; data.root or ${ROOT_VARIABLE} names the data folder"
    fetched = info.archives or any(file.url for form in info.forms for file in form.files)
    fetch = f"; `launch data prepare {info.name} --download` fetches them" if fetched else ""
    return MissingData("\n".join(lines), hint=info.get + fetch + where)


def abbreviate(names: Sequence[str]) -> str:
    """Return names as text; if there are more than 6, only the first two, the last, and how many there are."""
    if len(names) <= _MANY:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, ..., {names[-1]} ({len(names)} in all)"


def _about_files(form: Form) -> Iterator[str]:
    """Yield lines about each file; more than 6 folders, such as those of spoken words, share one line."""
    folders = [file.name for file in form.files if file.is_folder]
    for file in form.files:
        if not file.is_folder or len(folders) <= _MANY:
            yield from _about_file(file)
    if len(folders) > _MANY:
        yield f"  {len(folders)} folders: {', '.join(folders)}"


def _about_file(file: FileInfo) -> Iterator[str]:
    size = "" if file.bytes is None else f"  {file.bytes:,} bytes unpacked"
    sums = [f"sha256 {file.sha256}"] * bool(file.sha256) + [f"md5 {file.md5}"] * bool(file.md5)
    yield f"  {file.name}{'/' * file.is_folder}{size}{'  ' * bool(sums)}{', '.join(sums)}"
    if file.url:
        served = f"  (as served: sha256 {file.url_sha256})" if file.url_sha256 else ""
        yield f"    {file.url}{served}"
    if file.package:
        yield f"    shipped by the Python package {file.package} as {file.package_path}"


def _about_archive(archive: Archive) -> Iterator[str]:
    yield f"All of them are in {archive.name}:"
    facts = [] if archive.bytes is None else [f"{archive.bytes:,} bytes"]
    facts += [f"sha256 {archive.sha256}"] if archive.sha256 else []
    yield f"    {archive.source}" + (f"  ({', '.join(facts)})" if facts else "  (no checksum was published)")


def _lacks(form: Form, place: Path) -> str:
    """Return a remark about a folder that has some of the files but not all; "" for any other folder."""
    absent = [file.name for file in form.files if _find(file, place) is None]
    return f"  (without {abbreviate(absent)})" if len(absent) < len(form.files) else ""
