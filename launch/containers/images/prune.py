"""Which converted images exist, which files killed converters left behind, and the removal of an image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from launch.containers.images.convert import IMAGES, Form, lock_of, locked, note_of, read_origin, scratch_of
from launch.store.locks import is_held

# A converted image, or a file next to one: its note, its lock, an unfinished one, one being removed.
_OURS = re.compile(rf"\.?(?P<name>[^.]+\.(?:{'|'.join(Form)}))(?:\.json|\.lock|(?:\..+)?\.tmp|\.\d+\.old(?:\.json)?)?")
_LEFT = ".tmp", ".old", ".old.json"  # unfinished, or being removed


def find_made(root: Path) -> Iterator[Path]:
    """Yield the finished images under the folder of all run directories. A file without a note is not ours."""
    for place in _places(root):
        if place.exists() and read_origin(place) and not is_being_made(place):
            yield place


def find_left(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the leftovers of killed converters and removals under that folder, each with the image's place."""
    for place in _places(root):
        if not is_being_made(place):
            lone = () if place.exists() else (note_of(place),)
            left = [path for path in sorted(place.parent.glob(f".{place.name}.*")) if path.name.endswith(_LEFT)]
            for path in (*left, scratch_of(place), *lone):
                if path.exists():
                    yield path, place


def is_being_made(place: Path) -> bool:
    """Return whether a process of this machine is making an image."""
    return is_held(str(lock_of(place)))


def hide_image(place: Path, hidden: Path, is_wanted: Callable[[Path], bool]) -> bool:
    """Hide a converted image before it is deleted, unless a run wants it.

    Its note goes first: a process that finds no note does not use the image, but waits for the lock and converts it.

    Args:
        place: The image.
        hidden: Its new path.
        is_wanted: Whether the image must stay after all; it gets the present path of the note.
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
    """Return the places of all images that have any file."""
    folder = root / IMAGES
    try:
        names = {found["name"] for name in os.listdir(folder) if (found := _OURS.fullmatch(name))}
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names)]
