"""`launch image`: builds container images, lists, checks, converts, pushes and pulls them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import ExitCode, LaunchError

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser
    from launch.images.held import HeldImage

EXAMPLES = """
launch image build cpu
launch image build cuda12 --wheels wheels        # without network
launch image list
launch image check cuda12
launch image convert cuda12 --to sif             # for apptainer; also sqsh for pyxis, dir for charliecloud
launch image push cuda12 registry.example.org/group/s5
launch image pull registry.example.org/group/s5@sha256:…
"""

# Which options each action takes, and how many words.
_BUILD = ("base", "builder", "network", "no_network", "wheels", "pip_conf", "ca_bundle", "no_cache")
_ACTIONS: dict[str, tuple[tuple[str, ...], tuple[int, int]]] = {
    "build": (_BUILD, (1, 1)),
    "list": (("json", "builder"), (0, 0)),
    "check": (("json", "builder"), (1, 1)),
    "convert": (("to",), (1, 1)),
    "push": (("builder",), (2, 2)),
    "pull": (("builder",), (1, 1)),
}
_WORDS = {
    "build": "the image to build: `launch image build cpu`",
    "check": "the image to check: `launch image check cpu`",
    "convert": "the image to convert: `launch image convert cpu --to sif`",
    "push": "the image and where to: `launch image push cpu registry.example.org/group/s5`",
    "pull": "the image by its digest: `launch image pull registry.example.org/group/s5@sha256:…`",
    "list": "nothing more: `launch image list`",
}


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", metavar="ACTION", choices=tuple(_ACTIONS), help=", ".join(_ACTIONS))
    parser.add_argument(
        "words", metavar="IMAGE", nargs="*", default=[], help="a name of docker/images.yaml; pull: REPO@sha256:…"
    )
    parser.add_argument(
        "--builder",
        metavar="ENGINE",
        choices=("docker", "podman"),
        help="the engine: docker or podman (default: the first that is installed)",
    )
    build = parser.add_argument_group("build")
    build.add_argument("--base", metavar="REF", help="the image to stand on instead of that of images.yaml")
    build.add_argument("--wheels", metavar="DIR", help="take packages from here, and nothing from the network")
    build.add_argument("--no-network", action="store_true", help="reach no network; packages come from --wheels")
    build.add_argument("--network", metavar="NET", choices=("default", "host"), help="the engine's default, or host")
    build.add_argument("--pip-conf", metavar="FILE", help="pip's settings for the build (default: this machine's)")
    build.add_argument("--ca-bundle", metavar="FILE", help="certificates to trust (default: this machine's)")
    build.add_argument("--no-cache", action="store_true", help="use nothing that earlier builds made")
    parser.add_argument("--to", metavar="FORM", choices=("sif", "sqsh", "dir"), help="convert: sif, sqsh or dir")
    parser.add_argument("--json", action="store_true", help="list, check: objects instead of lines")
    parser.epilog = f"{parser.epilog}\n(1 where a check fails)"


def execute(args: argparse.Namespace) -> int:
    """Do one of the actions."""
    allowed, (least, most) = _ACTIONS[args.action]
    for option in {option for options, _ in _ACTIONS.values() for option in options} - {*allowed}:
        if getattr(args, option):
            raise LaunchError(
                f"launch image {args.action}: --{option.replace('_', '-')} does not belong to {args.action}",
                hint="`launch image --help` shows what does",
            )
    if not least <= len(args.words) <= most:
        raise LaunchError(f"launch image {args.action} takes {_WORDS[args.action]}")
    actions = {"build": _build, "list": _list, "check": _check, "convert": _convert, "push": _push, "pull": _pull}
    return actions[args.action](args)


def _build(args: argparse.Namespace) -> int:
    """Build an image, and print its identity."""
    from launch.cli.quantities import size
    from launch.images.build import BuildOptions, build
    from launch.images.catalog import REPOSITORY, find_image

    if args.no_network and not args.wheels:
        raise LaunchError(
            "--no-network needs --wheels: packages must come from somewhere",
            hint="docker/README.md says how to fetch them where there is a network",
        )
    if args.wheels and args.network:
        raise LaunchError("--wheels and --network exclude each other: nothing comes from the network with --wheels")
    options = BuildOptions(
        base=args.base,
        builder=args.builder,
        network=args.network or "default",
        wheels=_path(args.wheels),
        pip_conf=_path(args.pip_conf),
        ca_bundle=_path(args.ca_bundle),
        cache=not args.no_cache,
    )
    spec = find_image(args.words[0])
    held = build(spec, options, say=console.note)
    console.note(f"{REPOSITORY}/{spec.name}:{(held.content or '')[:12]}, {size(held.bytes)}")
    console.data(held.id)
    console.hint(f"`launch image check {spec.name}` tries it; `launch sweep FILE --runtime {held.engine}` runs in it")
    return ExitCode.OK


def _list(args: argparse.Namespace) -> int:
    """Print where each image stands."""
    from launch.cli.quantities import size
    from launch.images.catalog import load_images
    from launch.images.held import engines_here, silent_engines
    from launch.images.listing import list_images

    engines = engines_here(args.builder)
    silent = silent_engines(engines)
    for engine, error in silent.items():
        console.warn(f"{engine} does not answer: {error.message}" + (f"; {error.hint}" if error.hint else ""))
    found = list_images(load_images(), engines, silent=silent)
    if args.json:
        facts = [
            {
                "name": each.spec.name,
                "state": each.state,
                "platform": each.spec.platform,
                "min_driver": each.spec.min_driver,
                "engine": each.held and each.held.engine,
                "id": each.held and each.held.id,
                "content": each.held and each.held.content,
                "digest": each.held and each.held.digest,
                "bytes": each.held and each.held.bytes,
            }
            for each in found
        ]
        console.data(json.dumps(facts, indent=2))
        return ExitCode.OK
    rows = [
        [
            each.spec.name,
            each.state,
            each.spec.platform,
            str(each.spec.min_driver or ""),
            size(each.held.bytes) if each.held else "",
            (each.held.content or "")[:12] if each.held else "",
            each.held.id.removeprefix("sha256:")[:12] if each.held else "",
            each.held.digests[0] if each.held and each.held.digests else "",
        ]
        for each in found
    ]
    header = ["image", "state", "platform", "driver", "size", "content", "id", "digest"]
    console.data(console.table(header, rows, right=("size", "driver"), elastic="digest"))
    if not engines:
        console.hint("neither docker nor podman is on the PATH; images are built where one of them is")
    elif silent:
        console.hint("`launch doctor` looks why an engine does not answer")
    return ExitCode.OK


def _check(args: argparse.Namespace) -> int:
    """Execute an image and print what is found in it."""
    from dataclasses import asdict

    from launch.check import Level
    from launch.images.check import check_image

    checks = list(check_image(_held(args.words[0], args.builder)))
    failed = any(check.level is Level.FAIL for check in checks)
    if args.json:
        console.data(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
        return ExitCode.SOME_FAILED if failed else ExitCode.OK
    for check in checks:
        level = console.paint(f"{check.level:<4}", console.STATE_COLOURS[check.level], sys.stdout)
        console.data(f"{level}  {check.name:<10}  {console.printable(check.message)}")
        if check.advice:
            console.data(f"{'':18}→ {console.printable(check.advice)}")
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _convert(args: argparse.Namespace) -> int:
    """Convert an image, and print where the file or folder lies."""
    from launch.disk.store import Store
    from launch.images.convert import FORMS
    from launch.images.resolve import resolve_image

    if args.to is None:
        raise LaunchError("--to is missing", hint="sif for apptainer, sqsh for pyxis, dir for charliecloud")
    runtime = next(name for name, form in FORMS.items() if form == args.to)
    root = Store(None if args.runs is None else Path(args.runs)).root
    image = resolve_image(
        args.words[0], runtime, gpus=False, runs_root=root, convert=True, here=False, say=console.note
    )
    console.data(str(image.file))
    return ExitCode.OK


def _push(args: argparse.Namespace) -> int:
    """Push an image, and print the name by which it can be had."""
    from launch.images.registry import push

    name = push(_held(args.words[0], args.builder), args.words[1])
    console.data(name)
    console.hint(f"`launch sweep FILE --image {name}` runs in exactly this one")
    return ExitCode.OK


def _pull(args: argparse.Namespace) -> int:
    """Pull an image by its digest, and print its identity here."""
    from launch.images.builder import find_engine
    from launch.images.registry import pull

    held = pull(args.words[0], find_engine(args.builder))
    console.data(held.id)
    return ExitCode.OK


def _held(word: str, builder: str | None) -> HeldImage:
    """Return the image that a person named: of images.yaml, or one that an engine here knows."""
    from launch.images.builder import find_engine
    from launch.images.catalog import find_image, load_images
    from launch.images.held import find_held
    from launch.images.listing import newest

    engine = find_engine(builder)
    known = load_images()
    if word in known:
        held = newest(known[word], (engine,))
        if held is None:
            raise LaunchError(f"the image {word} is not built here", hint=f"`launch image build {word}`")
        return held
    if not any(sign in word for sign in ":/@"):
        find_image(word)  # says which ones there are
    held = find_held(word, (engine,))
    if held is None:
        raise LaunchError(f"{console.printable(word)}: {engine} holds no such image", hint="`launch image list`")
    return held


def _path(word: str | None) -> Path | None:
    return None if word is None else Path(os.path.expanduser(word)).absolute()
