"""What the catalog says of a data set, and the errors about data. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from s5.config.choices import Head


class DataError(Exception):
    """Data that cannot be used: a mistake the user can mend.

    Args:
        message: What is wrong, with the file.
        hint: What to type or change.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class MissingData(DataError):
    """Files that are not where a data set may have them."""


class Cache(Enum):
    """How the converted files of a data set are kept."""

    none = "none"  # converting takes no longer than opening a cache
    file = "file"  # one file, read whole and checked on every read
    folder = "folder"  # a folder of arrays that are mapped: what does not fit into memory


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One raw file of a data set, or a folder of them.

    Attributes:
        name: Its name without `.gz`.
        is_folder: Whether it is a folder.
        gzipped: Whether it is taken gzipped too.
        bytes: Its size, unpacked; None if that was never published.
        sha256: SHA-256 of its unpacked bytes, since repacked archives differ and their content does not; None where
            no checksum was published.
        md5: MD5 of its unpacked bytes, where that alone was published.
        url: Where it is published; None if only a package or an archive holds it.
        url_sha256: SHA-256 of the file as it is served there.
        package: The Python package that ships it; None if a user has it as a file.
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
    """One of the forms in which a data set is published.

    Attributes:
        files: Its raw files, which lie in one folder.
        folders: Where inside the data folder they may lie, in the order they are looked for.
    """

    files: tuple[FileInfo, ...]
    folders: tuple[str, ...] = ()


class PackageClient(Enum):
    """What fetches a package, from wherever the user's machine is set up to; the value is its command."""

    npm = "npm pack"
    apt = "apt-get download"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A published archive that holds a data set's files.

    Attributes:
        name: Its name as it is served.
        url: Its address; empty where it is a package.
        client: What fetches it where it is a package.
        package: The name of the package, with its version, as the client takes it.
        bytes: Its size; None if that was never published.
        sha256: Its SHA-256; None if none was published.
        folder: The folder inside it that is wanted, at any depth; empty for the whole archive.
        into: The folder of the data folder it is unpacked into.
        skip: What below that folder is left out: names, or patterns of them.
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
        """Where it comes from: an address, or the command that fetches it."""
        return f"{self.client.value} {self.package}" if self.client else self.url


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a data set without reading it.

    Attributes:
        name: What `data.name` calls it.
        about: One line for a person.
        licence: Its licence.
        n_classes: Classes; for a regression the features of a target.
        length: L, steps of a sequence.
        d_input: Features of a step, or different tokens.
        sizes: Examples per split.
        forms: The forms it is published in, best first; empty where a generator makes it.
        archives: The archives that hold those files.
        system_folders: Absolute folders in which system packages install them.
        get: What to type, or where to go, to get it.
        cache: How its converted files are kept.
        cached_as: The data set whose converted files serve it too; empty for its own.
        version: Raised when it is made or converted differently, so that older caches are not taken for it, nor older
            runs for runs on it: a config's `data.version` must be the same.
        made_by: The published procedure that makes it, where a generator does; empty where files are needed.
        head: What a model returns for an example.
        tokens: Whether a step is a token, a whole number below `d_input`, instead of features.
        times: Whether it is known when each step was observed, since the intervals differ.
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
        """Whether `data.permutation` can order its pixels: those of images that are whole in memory."""
        return self.cache is not Cache.folder

    @property
    def task(self) -> str:
        """What it asks of a model, in words; a model of one data set can read another of the same task."""
        steps = f"tokens of {self.d_input}" if self.tokens else f"steps of {self.d_input}"
        irregular = " at irregular times" * self.times
        return f"{self.head.name} of {steps}{irregular} with {self.head.answers(self.n_classes)}"

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """The raw files of the best form."""
        return self.forms[0].files if self.forms else ()

    @property
    def n_examples(self) -> int:
        """Examples of all splits."""
        return sum(self.sizes.values())
