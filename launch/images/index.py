"""How a build reaches the package index: as this machine's pip does, told through files that no image keeps."""

from __future__ import annotations

import ast
import os
import ssl
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from launch.errors import LaunchError
from launch.yaml_file import printable

# What of pip's settings holds inside: no file or folder of this machine does.
_KEYS = ("index-url", "extra-index-url", "proxy", "trusted-host", "timeout", "retries")
_AUTHORITIES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_ASK_S = 60.0


@contextmanager
def build_secrets(pip_conf: Path | None = None, ca_bundle: Path | None = None) -> Generator[dict[str, Path]]:
    """Hold the files that a build is to mount as secrets; only this user can read them, and only meanwhile.

    Args:
        pip_conf: The settings to use; None for those of this machine's pip.
        ca_bundle: The certificates to trust; None for those that this machine's pip trusts.

    Yields:
        The files by the names that the recipe knows them by.

    Raises:
        LaunchError: Where a file that was named is missing.
    """
    for path in (pip_conf, ca_bundle):
        if path is not None and not path.is_file():
            raise LaunchError(f"{printable(str(path))}: no such file")
    with TemporaryDirectory(prefix="launch-build-") as folder:
        settings = Path(folder) / "pip.conf"
        text = pip_conf.read_text() if pip_conf else "".join(_lines(pip_settings()))
        with open(settings, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
        found = {"pip_conf": settings}
        if trusted := ca_bundle or _certificates():
            found["ca_bundle"] = trusted.absolute()
        yield found


def pip_settings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return those of pip's settings on this machine that hold inside a build too; none where there is no pip."""
    words = (sys.executable, "-m", "pip", "config", "list")
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=_ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():  # such as global.timeout='60', those of the environment last
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2].removeprefix("default-")
        if name in _KEYS and value:
            said = [word for word in str(ast.literal_eval(value)).split() if not word.startswith("file:")]
            if said:
                found[name] = " ".join(said)
    return found


def _lines(settings: Mapping[str, str]) -> Iterator[str]:
    yield "[global]\n"
    for key, value in settings.items():
        yield f"{key} = {value}\n"


def _certificates() -> Path | None:
    named = [os.environ.get(name) for name in _AUTHORITIES] + [ssl.get_default_verify_paths().cafile]
    return next((Path(path) for path in named if path and Path(path).is_file()), None)
