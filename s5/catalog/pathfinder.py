"""The Long Range Arena's Pathfinder in its four sizes; 128 is Path-X. Sources: Linsley et al. 2018; Tay et al. 2021."""

import dataclasses

from s5.catalog.entry import Archive, Cache, DatasetInfo, FileInfo, Form

_URL = "https://storage.googleapis.com/long-range-arena/lra_release.gz"
_LEVEL = "curv_contour_length_14"  # the hardest of three, and the one that is used


def _published(side: int, called: str) -> DatasetInfo:
    name = f"pathfinder{side}"
    # Not by its `data.name`: the results would stand under the benchmark's experiment.
    made = {32: f"{name}_regenerated_20k", 128: f"{name}_regenerated_2k"}.get(side)
    instead = f"; {made} can be made here, a task of its own: see sweeps/lra-small.yaml" if made else ""
    return DatasetInfo(
        name=name,
        about=f"{called}: are two dots on one dashed line? 200,000 pictures of {side}x{side}, read pixel by pixel",
        licence="Apache-2.0 (the procedure: MIT)",
        n_classes=2,
        length=side * side,
        d_input=1,
        sizes={"train": 160_000, "val": 20_000, "test": 20_000},
        forms=(
            Form(
                files=tuple(
                    FileInfo(name=f"{_LEVEL}/{part}", is_folder=True, gzipped=False) for part in ("imgs", "metadata")
                ),
                folders=(name, f"pathfinder/{name}", f"lra_release/lra_release/{name}", f"lra_release/{name}"),
            ),
        ),
        archives=(
            Archive(
                name="lra_release.gz",
                url=_URL,
                folder=name,
                into=name,
                skip=("curv_baseline", "curv_contour_length_9"),
            ),
        ),
        get=f"`launch data prepare {name} --from lra_release.gz` takes the archive" + instead,
        cache=Cache.folder,
    )


def _regenerated(side: int, called: str, n: int, suffix: str, time: str) -> DatasetInfo:
    """Return the entry of pictures drawn here. Fewer of them are the first of all, under a name that says how many."""
    published = _published(side, called)
    name = f"{published.name}_regenerated{suffix}"
    return dataclasses.replace(
        published,
        name=name,
        about=f"{called}: {n:,} pictures of {side}x{side} made here by the published procedure",
        sizes={"train": n * 8 // 10, "val": n // 10, "test": n // 10},
        forms=(),
        archives=(),
        get=f"`launch data prepare {name}` makes it ({time} on two cores)",
        made_by="the published procedure, seed 0",
        version=2,  # 1 had more short lines and larger dots than the published program draws
    )


DATASETS = (
    _published(32, "LRA Pathfinder"),
    _published(64, "Pathfinder 64"),
    _published(128, "LRA Path-X"),
    _published(256, "Pathfinder 256"),
    _regenerated(32, "LRA Pathfinder", 200_000, "", "about 8 minutes"),
    _regenerated(32, "LRA Pathfinder", 20_000, "_20k", "about a minute"),
    _regenerated(128, "LRA Path-X", 200_000, "", "about 6 hours"),
    _regenerated(128, "LRA Path-X", 2_000, "_2k", "about 4 minutes"),
)
