"""The entry of a data set in the catalog, and the errors about data. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from s5.config.choices import Head
from s5.errors import UserError


class DataError(UserError):
    """Data that cannot be used."""


class MissingData(DataError):
    """Raw files that were not found."""


class Cache(Enum):
    """How the converted files of a data set are stored."""

    none = "none"  # converting is as fast as opening a cache
    file = "file"  # one file, read and verified as a whole
    folder = "folder"  # a folder of mapped arrays, for data that do not fit into memory


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A raw file of a data set, or a folder of them.

    Attributes:
        name: Its name without `.gz`.
        is_folder: Whether it is a folder.
        gzipped: Whether it may also be gzipped.
        bytes: Its size, decompressed; None if that was not published.
        sha256: SHA-256 of its decompressed bytes, which stay the same if an archive is repacked; None if no checksum
            was published.
        md5: MD5 of its decompressed bytes, if only that was published.
        url: Its address; None if only a package or an archive contains it.
        url_sha256: SHA-256 of the file at that address.
        package: The Python package that contains it; None if users have it as a file.
        package_path: Its path inside that package.
    """

    name: str
    is_folder: bool = False
    gzipped: bool = True
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    url: str | None = None
    url_sha256: str | None = None
    package: str | None = None
    package_path: str = ""


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form in which a data set is published.

    Attributes:
        files: Its raw files, all in one folder.
        folders: Where this folder may be inside the data folder, in the order of the search.
    """

    files: tuple[FileInfo, ...]
    folders: tuple[str, ...] = ()


class PackageClient(Enum):
    """A package client, which downloads as the user has set it up; the value is its command."""

    npm = "npm pack"
    apt = "apt-get download"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A published archive with a data set's files.

    Attributes:
        name: Its file name.
        url: Its address; empty for a package.
        client: The client that downloads it, for a package.
        package: The name and version of the package, as the client takes them.
        bytes: Its size; None if that was not published.
        sha256: Its SHA-256; None if no checksum was published.
        folder: The folder inside it to unpack, at any depth; empty for the whole archive.
        into: The folder inside the data folder to unpack into.
        skip: Names below that folder to leave out, or patterns of them.
    """

    name: str
    url: str = ""
    client: PackageClient | None = None
    package: str = ""
    bytes: int | None = None
    sha256: str | None = None
    folder: str
    into: str
    skip: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Its address, or the command that downloads it."""
        return f"{self.client.value} {self.package}" if self.client else self.url


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The entry of a data set: what is known without reading it.

    Attributes:
        name: Its name in `data.name`.
        about: A description in one line.
        licence: Its licence.
        n_classes: Number of classes; for a regression, features of a target.
        length: L, steps of a sequence.
        d_input: Features of a step, or number of different tokens.
        sizes: Examples per split.
        forms: The published forms, best first; empty if a generator makes it.
        archives: The archives that contain those files.
        system_folders: Absolute folders in which system packages install them.
        get: How to get it: a command, or instructions.
        cache: How its converted files are stored.
        cached_as: Another data set with the same converted files; empty if it has its own.
        version: Raised when it is generated or converted differently. Older caches and older runs have another version,
            since `data.version` must be the same.
        made_by: The published procedure of its generator; empty if it is read from files.
        head: The head that a model needs.
        tokens: Whether a step is a token, a whole number below `d_input`, instead of features.
        times: Whether the steps have times, since their intervals differ.
    """

    name: str
    about: str
    licence: str
    n_classes: int
    length: int
    d_input: int
    sizes: Mapping[str, int]
    forms: tuple[Form, ...] = ()
    archives: tuple[Archive, ...] = ()
    system_folders: tuple[str, ...] = ()
    get: str
    cache: Cache = Cache.file
    cached_as: str = ""
    version: int = 1
    made_by: str = ""
    head: Head = Head.classification
    tokens: bool = False
    times: bool = False

    @property
    def permutable(self) -> bool:
        """Whether `data.permutation` can reorder its pixels: only those of images that are loaded into memory."""
        return self.cache is not Cache.folder

    @property
    def task(self) -> str:
        """What it requires of a model, as text. A model can read any data set of the same task."""
        steps = f"tokens of {self.d_input}" if self.tokens else f"steps of {self.d_input}"
        irregular = " at irregular times" * self.times
        return f"{self.head.name} of {steps}{irregular} with {self.head.answers(self.n_classes)}"

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """The raw files of the best form."""
        return self.forms[0].files if self.forms else ()

    @property
    def n_examples(self) -> int:
        """Number of examples of all splits."""
        return sum(self.sizes.values())
