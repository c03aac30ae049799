"""The pendulum of the S5 paper's irregular regression. Source: Becker et al. 2019; Schirmer et al. 2022."""

import dataclasses

from s5.catalog.entry import Cache, DatasetInfo, FileInfo, Form
from s5.config.choices import Head

PENDULUM = DatasetInfo(
    name="pendulum",
    about="noisy pictures of a pendulum at 50 of 100 times; the targets are the sine and cosine of its angle",
    licence="generated here",
    n_classes=2,
    length=50,
    d_input=576,
    sizes={"train": 2_000, "val": 1_000, "test": 1_000},
    get="`launch data prepare pendulum` generates it (about a minute on two cores)",
    cache=Cache.folder,
    made_by="the published procedure with its seeds, 42 and 43",
    head=Head.regression,
    times=True,
)

PENDULUM_NPZ = dataclasses.replace(
    PENDULUM,
    name="pendulum_npz",
    about=f"{PENDULUM.about}; from the file that the published scripts write",
    licence="that of the file's author",
    forms=(Form(files=(FileInfo(name="pend_regression.npz", gzipped=False),), folders=("pendulum", "")),),
    get="the published script writes it with the same seeds, and `launch data prepare pendulum_npz --from "
    "pend_regression.npz` reads it; `launch data prepare pendulum` needs no file",
    made_by="",
)

DATASETS = (PENDULUM, PENDULUM_NPZ)
