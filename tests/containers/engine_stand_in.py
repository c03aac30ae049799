"""A fake `docker` that has one image of a few files, records its calls, and waits if a test tells it to.

Tests use it for what happens around an engine: two conversions at the same time, a kill, a full disk.
"""

import io
import json
import sys
import tarfile
from pathlib import Path

ID = "sha256:" + "ab" * 32
LABELS = {"s5-launch.content": "cd" * 32, "s5-launch.platform": "cpu"}

_PROGRAM = """#!{python} -S
import json, os, shutil, sys, time
folder = {folder!r}
words = sys.argv[1:]
with open(folder + "/asked", "a") as file:
    file.write(" ".join(words) + "\\n")
if words[:2] == ["image", "inspect"]:
    said = json.load(open(folder + "/image.json"))
    short = said["Id"].partition(":")[2][:12]
    if words[-1] not in (said["Id"], short, "there:1"):
        sys.exit("Error: No such image: " + words[-1])
    print(json.dumps(said))
if words[0] == "export":
    while os.path.exists(folder + "/hold"):
        time.sleep(0.01)
    if os.path.exists(folder + "/broken"):
        sys.exit("Error response from daemon: layer does not exist")
    shutil.copy(folder + "/image.tar", words[words.index("--output") + 1])
"""


class EngineStandIn:
    """The fake engine; tests put it on the PATH.

    Args:
        folder: The folder of all its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / "docker"
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        self.describe()
        with tarfile.open(folder / "image.tar", "w") as tar:
            for name, size in (("usr/bin/python", 100), ("etc/hosts", 10), ("big", 3 << 20)):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = size, 0o444
                tar.addfile(entry, io.BytesIO(b"\0" * size))

    def describe(self, size: int = 1000) -> None:
        """Let the image contain `size` bytes."""
        config = {"Labels": LABELS, "Env": ["PATH=/opt/venv/bin:/usr/bin", "LANG=C.UTF-8"]}
        said = {"Id": ID, "RepoDigests": [], "Size": size, "Config": config}
        (self.folder / "image.json").write_text(json.dumps(said))

    @property
    def asked(self) -> list[str]:
        """The first words of all its calls."""
        path = self.folder / "asked"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def hold(self, wanted: bool = True) -> None:
        """Let exports wait, or continue."""
        (self.folder / "hold").touch() if wanted else (self.folder / "hold").unlink()
