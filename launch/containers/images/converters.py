"""Make a .sif file, a SquashFS file or a folder from an image, with the programs that each form needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.containers.diagnostics import summarize_output
from launch.containers.images.engine_images import EngineImage
from launch.containers.runtimes.charliecloud import ENVIRONMENT
from launch.errors import LaunchError
from launch.specs.environment import clean_environment
from launch.specs.image import Image

# Parts of registries' error messages, each with its remedy.
_HINTS = {
    "manifest unknown": "the registry holds no such image: is its digest the one that was printed when it was pushed?",
    "name_unknown": "the registry holds no repository of this name",
    "unauthorized": "log in first: `apptainer registry login`, or `docker login`",
    "connection refused": "no registry answers at this address; on a machine without network bring the file itself",
    "no such host": "this address is unknown; on a machine without network bring the file itself",
}
_HEARTBEAT_S = 1.0
_SAY_EVERY = 15  # beats
_MIB = 1 << 20
# Fast to write and to read; the file is a tenth larger than with the strongest compression.
_SQUASH = ("-comp", "zstd", "-Xcompression-level", "1")
_FULL = ("no space left", "disk quota exceeded", "wrote only")  # the last is tar's message


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The conversion of one image.

    Attributes:
        image: The image.
        held: The image in an engine; None if only a registry has it.
        scratch: A folder for temporary files, which the caller removes.
        say: Called with each line of progress.
        heartbeat: Called about once a second while a program runs.
    """

    image: Image
    held: EngineImage | None
    scratch: Path
    say: Callable[[str], None]
    heartbeat: Callable[[], None]

    def run(
        self,
        words: Sequence[str],
        *,
        grows: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Run a program to its end; meanwhile report the size of the file `grows`, which the program writes.

        Raises:
            LaunchError: If the program is missing or fails; the message contains the error in its output.
        """
        environment = {**clean_environment(os.environ), **(variables or {})}
        with os.fdopen(os.memfd_create(words[0]), "w+b") as said:  # in memory, since the disk may be full
            try:
                process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)
            except FileNotFoundError as error:
                raise LaunchError(f"an image cannot be converted here: {words[0]} is not on the PATH") from error
            try:
                beats = 0
                while not _has_ended(process):
                    beats += 1
                    self.heartbeat()
                    if beats % _SAY_EVERY == 0 and grows is not None and grows.exists():
                        self.say(f"{self.image.name}: {grows.name}: {grows.stat().st_size // _MIB} MiB so far")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            said.seek(0)
            if process.returncode:
                raise self._failure(words[0], said.read().decode(errors="replace"))

    def _failure(self, program: str, said: str) -> LaunchError:
        full = [line for line in said.splitlines() if any(word in line.lower() for word in _FULL)]
        line = summarize_output("\n".join(full) or said)
        hint = next((hint for word, hint in _HINTS.items() if word in said.lower()), None)
        if full:
            hint = f"a disk is full: free some space under {self.scratch.parent} and where the runs lie, then try again"
        return LaunchError(
            f"the image {self.image.name} cannot be converted: {program}: {line.removeprefix(f'{program}: ')}",
            hint=hint,
        )


def make_sif(maker: Conversion, place: Path) -> None:
    """Make a .sif file with Apptainer.

    If an engine holds the image, it is saved by its id, since its name may have moved. Else it comes from the registry.
    """
    _need("apptainer", "on a machine with Apptainer, or bring a .sif file and name it with image:")
    source = f"docker://{maker.image.reference}"
    if maker.held is not None:
        archive = maker.scratch / "image.tar"
        maker.say(f"{maker.image.name}: taking {maker.held.bytes // _MIB} MiB from {maker.held.engine}")
        maker.run([maker.held.engine, "save", "--output", str(archive), maker.held.id], grows=archive)
        source = f"docker-archive:{archive}"
    maker.say(f"{maker.image.name}: building a .sif file")
    built = maker.scratch / "image.sif"
    words = ["apptainer", "build", "--disable-cache", "--mksquashfs-args", " ".join(_SQUASH), str(built), source]
    maker.run(words, grows=built, variables={"APPTAINER_TMPDIR": str(maker.scratch)})
    shutil.move(built, place)


def make_folder(maker: Conversion, place: Path) -> None:
    """Unpack an image into a folder; write the image's variables to the file that Charliecloud reads."""
    _unpack(maker, place)
    for name in ("dev", "proc", "sys", "tmp"):  # ch-run mounts these
        (place / name).mkdir(exist_ok=True)
    variables = place / ENVIRONMENT
    variables.parent.mkdir(exist_ok=True)
    variables.write_text("".join(f"{line}\n" for line in _held(maker).variables if "\n" not in line))


def make_squashfs(maker: Conversion, place: Path) -> None:
    """Make the SquashFS file that Pyxis executes, with Enroot if it is installed, else with mksquashfs.

    The file has Enroot's layout: a root file system, variables in etc/environment, and a start script in etc/rc.
    """
    built = maker.scratch / "image.sqsh"
    if shutil.which("enroot"):
        source = _enroot_source(maker.image.reference)
        if maker.held:
            source = f"{'podman' if maker.held.engine == 'podman' else 'dockerd'}://{maker.held.id}"
        maker.say(f"{maker.image.name}: enroot imports {source}")
        folders = {"ENROOT_TEMP_PATH": str(maker.scratch), "ENROOT_CACHE_PATH": str(maker.scratch)}
        maker.run(["enroot", "import", "--output", str(built), source], grows=built, variables=folders)
    else:
        _need("mksquashfs", "on a machine with Enroot, or install squashfs-tools")
        root = maker.scratch / "root"
        _unpack(maker, root)
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/environment").write_text("".join(f"{line}\n" for line in _held(maker).variables))
        (root / "etc/rc").write_text('if [ $# -gt 0 ]; then\n    exec "$@"\nelse\n    exec /bin/sh\nfi\n')
        maker.say(f"{maker.image.name}: writing a .sqsh file")
        words = ["mksquashfs", str(root), str(built), "-all-root", "-noappend", "-no-progress", *_SQUASH]
        maker.run(words, grows=built)
    shutil.move(built, place)


def _unpack(maker: Conversion, folder: Path) -> None:
    """Unpack an image's files into a new folder; all files belong to this user."""
    held = _held(maker)
    maker.say(f"{maker.image.name}: taking {held.bytes // _MIB} MiB from {held.engine}")
    archive, name = maker.scratch / "root.tar", f"launch-convert-{maker.scratch.name}"
    _remove_container(held.engine, name)  # a killed process may have left it
    try:
        maker.run([held.engine, "create", "--name", name, "--network", "none", held.id, "true"])
        maker.run([held.engine, "export", "--output", str(archive), name], grows=archive)
    finally:
        _remove_container(held.engine, name)
    folder.mkdir()
    # Leave out devices, which only root can make. The modes let the owner use and remove every file.
    maker.say(f"{maker.image.name}: unpacking")
    mode = "--mode=u+rwX"
    maker.run(["tar", "-x", "-f", str(archive), "-C", str(folder), "--no-same-owner", "--exclude=dev/*", mode])
    archive.unlink()


def _remove_container(engine: str, name: str) -> None:
    subprocess.run([engine, "rm", "--force", name], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _held(maker: Conversion) -> EngineImage:
    if maker.held is None:
        raise LaunchError(
            f"{maker.image.reference}: only an image that docker or podman holds can be unpacked",
            hint=f"`docker pull {maker.image.reference}` first",
        )
    return maker.held


def _enroot_source(reference: str) -> str:
    """Return the source for `enroot import`; Enroot wants `#` after the name of the registry."""
    registry, _, rest = reference.partition("/")
    named = "." in registry or ":" in registry or registry == "localhost"
    return f"docker://{registry}#{rest}" if named else f"docker://{reference}"


def _need(program: str, instead: str) -> None:
    if shutil.which(program) is None:
        raise LaunchError(
            f"an image cannot be converted here: {program} is not on the PATH", hint=f"convert it {instead}"
        )


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_HEARTBEAT_S)
    except subprocess.TimeoutExpired:
        return False
    return True
