"""The pendulum of the S5 paper's irregular regression. Source: Becker et al. 2019; Schirmer et al. 2022."""

from s5.catalog.entry import Cache, DatasetInfo
from s5.choices import Head

PENDULUM = DatasetInfo(
    name="pendulum",
    about="noisy pictures of a pendulum at 50 of 100 times; its angle's sine and cosine are wanted at each",
    licence="made here",
    n_classes=2,
    length=50,
    d_input=576,
    sizes={"train": 2_000, "val": 1_000, "test": 1_000},
    get="`launch data prepare pendulum` makes it (about 2 minutes on two cores)",
    cache=Cache.folder,
    made_by="the published procedure with its seeds, 42 and 43",
    head=Head.regression,
)

DATASETS = (PENDULUM,)
