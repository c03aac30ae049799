"""The Long Range Arena. Source: Tay et al. 2021 (arXiv:2011.04006); sizes as the S5 repository has them."""

import dataclasses

from s5.catalog.entry import Archive, Cache, DatasetInfo, FileInfo, Form
from s5.config.choices import Head

_URL = "https://storage.googleapis.com/long-range-arena/lra_release.gz"


def _folders(*names: str) -> tuple[str, ...]:
    """Return where a folder of the archive may lie: by itself, or in the archive's own folders."""
    return tuple(f"{above}{name}" for name in names for above in ("", "lra_release/lra_release/", "lra_release/"))


def _archive(folder: str) -> tuple[Archive, ...]:
    return (Archive(name="lra_release.gz", url=_URL, folder=folder, into=folder),)


def _get(name: str, made: bool = False) -> str:
    again = f"; {name}_regenerated can be made here, a task of its own: see sweeps/lra-small.yaml" if made else ""
    return f"`launch data prepare {name} --from lra_release.gz` takes the archive{again}"


LISTOPS = DatasetInfo(
    name="listops",
    about="LRA ListOps: the value of nested lists of up to 2,000 symbols",
    licence="Apache-2.0",
    n_classes=10,
    length=2048,
    d_input=20,  # 18 symbols; the S5 repository has 20
    tokens=True,
    sizes={"train": 96_000, "val": 2_000, "test": 2_000},
    forms=(
        Form(
            files=tuple(FileInfo(name=f"basic_{split}.tsv", gzipped=False) for split in ("train", "val", "test")),
            folders=_folders("listops-1000", "listops"),
        ),
    ),
    archives=_archive("listops-1000"),
    get=_get("listops", made=True),
    cache=Cache.folder,
)


_IMDB_FOLDERS = tuple(f"{split}/{kind}" for split in ("train", "test") for kind in ("neg", "pos"))

IMDB = DatasetInfo(
    name="imdb",
    about="LRA Text: 50,000 film reviews, good or bad, character by character",
    licence="none stated; for research (Maas et al. 2011)",
    n_classes=2,
    length=4096,
    d_input=135,  # what the S5 repository has
    tokens=True,
    sizes={"train": 22_500, "val": 2_500, "test": 25_000},
    forms=(
        Form(
            files=tuple(FileInfo(name=name, is_folder=True, gzipped=False) for name in _IMDB_FOLDERS),
            folders=("aclImdb", "imdb/aclImdb", "imdb"),
        ),
    ),
    archives=(
        Archive(
            name="aclImdb_v1.tar.gz",
            url="http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
            bytes=84_125_825,
            sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            folder="aclImdb",
            into="aclImdb",
            skip=("train/unsup",),
        ),
    ),
    get="`launch data prepare imdb --from aclImdb_v1.tar.gz` takes the archive",
    cache=Cache.folder,
)

IMDB_BYTES = dataclasses.replace(
    IMDB,
    name="imdb_bytes",
    about="LRA Text byte by byte, as the Long Range Arena itself reads it",
    d_input=256,  # bytes of UTF-8 shifted by one, which leaves room for the padding
    get="`launch data prepare imdb_bytes --from aclImdb_v1.tar.gz` takes the archive",
)

AAN = DatasetInfo(
    name="aan",
    about="LRA Retrieval: whether one of two papers cites the other, character by character",
    licence="none stated; texts of aan.how, for research",
    n_classes=2,
    length=4000,
    d_input=98,  # what the published files' characters come to
    tokens=True,
    sizes={"train": 147_086, "val": 18_090, "test": 17_437},
    forms=(
        Form(
            files=tuple(
                FileInfo(name=f"new_aan_pairs.{split}.tsv", gzipped=False) for split in ("train", "eval", "test")
            ),
            folders=_folders("tsv_data", "aan"),
        ),
    ),
    archives=_archive("tsv_data"),
    get=_get("aan"),
    cache=Cache.folder,
    head=Head.retrieval,
)


def _regenerated(info: DatasetInfo, made_by: str, time: str) -> DatasetInfo:
    """Return the entry of a data set that its published procedure makes anew: other samples, so another name."""
    name = f"{info.name}_regenerated"
    return dataclasses.replace(
        info,
        name=name,
        about=f"{info.about}; made here by the published procedure",
        forms=(),
        archives=(),
        get=f"`launch data prepare {name}` makes it ({time})",
        made_by=made_by,
    )


LISTOPS_REGENERATED = _regenerated(LISTOPS, "the Long Range Arena's procedure, seed 0", "about a minute on two cores")

DATASETS = (LISTOPS, LISTOPS_REGENERATED, IMDB, IMDB_BYTES, AAN)
