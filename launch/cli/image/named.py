"""Find the image that the user named, and the engine that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import LaunchError
from launch.specs.choices import ENGINES

if TYPE_CHECKING:
    from launch.cli.parser import Parser
    from launch.containers.images.engine_images import EngineImage


def add_builder(parser: Parser) -> None:
    """Add the option that names the engine."""
    parser.add_argument(
        "--builder",
        metavar="ENGINE",
        choices=ENGINES,
        help=f"the engine: {' or '.join(ENGINES)} (default: the first that is installed)",
    )


def engine_image(word: str, builder: str | None) -> EngineImage:
    """Return the image that the user named, from an engine of this machine.

    Args:
        word: A name of docker/images.yaml, an id, or a name in a registry.
        builder: The engine to ask; None for the first that is installed.

    Raises:
        LaunchError: If the engine has no such image.
    """
    from launch.containers.images.builder import find_engine
    from launch.containers.images.catalog import find_image, load_images
    from launch.containers.images.engine_images import find_engine_image, is_id
    from launch.containers.images.listing import newest

    engine = find_engine(builder)
    known = load_images()
    if word in known:
        held = newest(known[word], (engine,))
        if held is None:
            how = f" --builder {builder}" if builder else ""
            raise LaunchError(f"the image {word} is not built here", hint=f"`launch image build {word}{how}`")
        return held
    if not any(sign in word for sign in ":/@") and not is_id(word):
        find_image(word)  # if it raises, the message lists the images
    held = find_engine_image(word, (engine,))
    if held is None:
        raise LaunchError(f"{console.printable(word)}: {engine} holds no such image", hint="`launch image list`")
    return held
