"""The Long Range Arena. Source: Tay et al. 2021 (arXiv:2011.04006); sizes as the S5 repository has them."""

import dataclasses

from s5.catalog.entry import Archive, Cache, DatasetInfo, FileInfo, Form

_URL = "https://storage.googleapis.com/long-range-arena/lra_release.gz"


def _folders(*names: str) -> tuple[str, ...]:
    """Return where a folder of the archive may lie: by itself, or in the archive's own folders."""
    return tuple(f"{above}{name}" for name in names for above in ("", "lra_release/lra_release/", "lra_release/"))


def _archive(folder: str) -> tuple[Archive, ...]:
    return (Archive(name="lra_release.gz", url=_URL, folder=folder, into=folder),)


def _get(name: str, made: bool = False) -> str:
    again = f"; or `launch data prepare {name}_regenerated` and data.name={name}_regenerated" if made else ""
    return f"`launch data prepare {name} --from lra_release.gz` takes the archive{again}"


LISTOPS = DatasetInfo(
    name="listops",
    about="LRA ListOps: the value of nested lists of up to 2,000 symbols",
    licence="Apache-2.0",
    n_classes=10,
    length=2048,
    d_input=20,  # 18 symbols; the S5 repository has 20
    sizes={"train": 96_000, "val": 2_000, "test": 2_000},
    forms=(
        Form(
            files=tuple(FileInfo(name=f"basic_{split}.tsv") for split in ("train", "val", "test")),
            folders=_folders("listops-1000", "listops"),
        ),
    ),
    archives=_archive("listops-1000"),
    get=_get("listops", made=True),
    cache=Cache.folder,
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


LISTOPS_REGENERATED = _regenerated(LISTOPS, "the Long Range Arena's procedure, seed 0", "about 3 minutes on two cores")

DATASETS = (LISTOPS, LISTOPS_REGENERATED)
