"""Speech Commands v0.02. Source: Warden 2018 (arXiv:1804.03209); the two tasks as in the S5 repository."""

import dataclasses

from s5.catalog.entry import Archive, Cache, DatasetInfo, FileInfo, Form

# The words in the order of their labels.
WORDS_35 = (
    *("bed", "cat", "down", "five", "forward", "go", "house", "left", "marvin", "no", "on", "right", "sheila", "tree"),
    *("up", "visual", "yes", "backward", "bird", "dog", "eight", "follow", "four", "happy", "learn", "nine", "off"),
    *("one", "seven", "six", "stop", "three", "two", "wow", "zero"),
)
WORDS_10 = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")

_ARCHIVE = Archive(
    name="speech_commands_v0.02.tar.gz",
    url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    bytes=2_428_923_189,
    sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    folder="",
    into="speech_commands",
    skip=("_background_noise_",),
)
_FOLDERS = (
    *("speech_commands", "speech_commands/0.0.2/SpeechCommands", "speech_commands/SpeechCommands"),
    *("SpeechCommands/speech_commands_v0.02", "speech_commands_v0.02", "sc"),
)


def _form(words: tuple[str, ...], lists: tuple[str, ...]) -> tuple[Form, ...]:
    files = [FileInfo(name=name, gzipped=False) for name in lists]
    files += [FileInfo(name=word, is_folder=True, gzipped=False) for word in words]
    return (Form(files=tuple(files), folders=_FOLDERS),)


SPEECH35 = DatasetInfo(
    name="speech_commands35",
    about="Speech Commands, all 35 words: a second of raw audio at 16 kHz",
    licence="CC BY 4.0",
    n_classes=35,
    length=16_000,
    d_input=1,
    sizes={"train": 84_843, "val": 9_981, "test": 11_005},
    forms=_form(WORDS_35, ("validation_list.txt", "testing_list.txt")),
    archives=(_ARCHIVE,),
    get=f"`launch data prepare speech_commands35 --from {_ARCHIVE.name}` takes the archive",
    cache=Cache.folder,
)

SPEECH10 = dataclasses.replace(
    SPEECH35,
    name="speech_commands10",
    about="Speech Commands, ten words: a second of raw audio at 16 kHz",
    n_classes=10,
    sizes={"train": 24_482, "val": 5_246, "test": 5_247},
    forms=_form(WORDS_10, ()),
    get=f"`launch data prepare speech_commands10 --from {_ARCHIVE.name}` takes the archive",
)


def at_8_khz(info: DatasetInfo) -> DatasetInfo:
    """Return the entry of a data set with every second sample, for zero-shot tests at half the sampling rate."""
    return dataclasses.replace(
        info,
        name=f"{info.name}_8khz",
        about=info.about.replace("16 kHz", "8 kHz, every second sample"),
        length=info.length // 2,
        cached_as=info.name,
    )


DATASETS = (SPEECH35, at_8_khz(SPEECH35), SPEECH10, at_8_khz(SPEECH10))
