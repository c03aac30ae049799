"""Find converted images and the leftovers of killed conversions, and hide an image before its removal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from launch.containers.images.convert import IMAGES, Form, lock_of, locked, note_of, read_origin, scratch_of
from launch.store.locks import is_held

# The name of a converted image, its note, its lock, or an image that is unfinished or being removed.
_OURS = re.compile(rf"\.?(?P<name>[^.]+\.(?:{'|'.join(Form)}))(?:\.json|\.lock|(?:\..+)?\.tmp|\.\d+\.old(?:\.json)?)?")
_LEFT = ".tmp", ".old", ".old.json"  # unfinished, or being removed


def find_made(root: Path) -> Iterator[Path]:
    """Yield the finished images under `root`, the folder of all runs. A file without a note is not ours."""
    for place in _places(root):
        if place.exists() and read_origin(place) and not is_being_made(place):
            yield place


def find_left(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each leftover of a killed conversion or removal under `root`, with the path of its image."""
    for place in _places(root):
        if not is_being_made(place):
            lone = () if place.exists() else (note_of(place),)
            left = [path for path in sorted(place.parent.glob(f".{place.name}.*")) if path.name.endswith(_LEFT)]
            for path in (*left, scratch_of(place), *lone):
                if path.exists():
                    yield path, place


def is_being_made(place: Path) -> bool:
    """Return whether a process of this machine has the image's lock: it makes or removes the image."""
    return is_held(str(lock_of(place)))


def hide_image(place: Path, hidden: Path, is_wanted: Callable[[Path], bool]) -> bool:
    """Rename a converted image before its removal, unless a run needs it; return whether it was renamed.

    The note is renamed first. A process that finds no note does not use the image: it waits for the lock and converts.

    Args:
        place: The path of the image.
        hidden: The new path.
        is_wanted: Called with the present path of the note; returns whether the image must stay.
    """
    note, aside = note_of(place), note_of(hidden)
    if is_being_made(place):
        return False
    with locked(place, lambda _: None):
        if is_wanted(note):
            return False
        with suppress(FileNotFoundError):
            os.rename(note, aside)
            try:
                stays = is_wanted(aside)
            except BaseException:
                os.rename(aside, note)
                raise
            if stays:
                os.rename(aside, note)
                return False
            os.rename(place, hidden)
            os.unlink(aside)
            return True
    return False


def _places(root: Path) -> list[Path]:
    """Return the paths of all images, also of those with only a note, a lock or a leftover."""
    folder = root / IMAGES
    try:
        names = {found["name"] for name in os.listdir(folder) if (found := _OURS.fullmatch(name))}
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names)]
