"""CIFAR-10, in colour and as the Long Range Arena's Image. Source: Krizhevsky 2009; sizes as in the S5 repository."""

from s5.catalog.entry import Archive, DatasetInfo, FileInfo, Form

_URL = "https://www.cs.toronto.edu/~kriz/"
_RECORDS_BYTES = 10_000 * 3_073

# The checksums that torchvision compares.
_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}

_FORMS = (
    Form(
        files=tuple(FileInfo(name=f"{name}.bin", bytes=_RECORDS_BYTES) for name in _MD5),
        folders=("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"),
    ),
    Form(
        files=tuple(FileInfo(name=name, md5=md5) for name, md5 in _MD5.items()),
        folders=("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar/cifar-10-batches-py"),
    ),
)

_ARCHIVES = (
    Archive(
        name="cifar-10-binary.tar.gz",
        url=f"{_URL}cifar-10-binary.tar.gz",
        bytes=170_052_171,
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        folder="cifar-10-batches-bin",
        into="cifar-10-batches-bin",
    ),
    Archive(
        name="cifar-10-python.tar.gz",
        url=f"{_URL}cifar-10-python.tar.gz",
        bytes=170_498_071,
        folder="cifar-10-batches-py",
        into="cifar-10-batches-py",
    ),
)

CIFAR10 = DatasetInfo(
    name="cifar10",
    about="CIFAR-10: 60,000 pictures of 32x32 pixels in colour, read pixel by pixel (sCIFAR)",
    licence="none stated; for research",
    n_classes=10,
    length=1024,
    d_input=3,
    sizes={"train": 45_000, "val": 5_000, "test": 10_000},
    forms=_FORMS,
    archives=_ARCHIVES,
    get="`launch data prepare cifar10 --from cifar-10-binary.tar.gz` takes either archive",
)

CIFAR10_GREY = DatasetInfo(
    name="cifar10_grey",
    about="LRA Image: CIFAR-10 in grey, read pixel by pixel",
    licence=CIFAR10.licence,
    n_classes=10,
    length=1024,
    d_input=1,
    sizes=CIFAR10.sizes,
    forms=_FORMS,
    archives=_ARCHIVES,
    get="`launch data prepare cifar10_grey --from cifar-10-binary.tar.gz` takes either archive",
    cached_as="cifar10",
)

DATASETS = (CIFAR10, CIFAR10_GREY)
