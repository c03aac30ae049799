"""Give a build this machine's settings of pip and certificates, as secret files that do not stay in the image."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Generator, Mapping
from configparser import Error as ConfigError
from configparser import RawConfigParser
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from launch.errors import LaunchError, printable

# The settings of pip that a build can use; settings that name a file or folder of this machine are left out.
_KEYS = ("index-url", "extra-index-url", "proxy", "trusted-host", "timeout", "retries")
_AUTHORITIES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@contextmanager
def index_secrets(pip_conf: Path | None = None, ca_bundle: Path | None = None) -> Generator[dict[str, Path]]:
    """Yield the files that a build mounts as secrets, by their names in the Dockerfile; only this user can read them.

    Args:
        pip_conf: A file with settings of pip; None for the settings of this machine's pip.
        ca_bundle: A file with certificates to trust; None for the certificates that this machine's pip trusts.

    Raises:
        LaunchError: If `pip_conf` or `ca_bundle` is missing.
    """
    for path in (pip_conf, ca_bundle):
        if path is not None and not path.is_file():
            raise LaunchError(f"{printable(str(path))}: no such file")
    with TemporaryDirectory(prefix="launch-build-") as folder:
        settings = Path(folder) / "pip.conf"
        lines = (f"{key} = {value}\n" for key, value in pip_settings().items())
        text = pip_conf.read_text() if pip_conf else f"[global]\n{''.join(lines)}"
        with open(settings, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
        found = {"pip_conf": settings}
        trusted = [ca_bundle, *map(os.environ.get, _AUTHORITIES), ssl.get_default_verify_paths().cafile]
        if bundle := next((Path(path) for path in trusted if path and Path(path).is_file()), None):
            found["ca_bundle"] = bundle.absolute()
        yield found


def pip_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the settings of this machine's pip that a build can use too.

    They are read where pip reads them, and later ones win: the machine's files, the user's, the virtual environment's,
    `$PIP_CONFIG_FILE`, variables such as `$PIP_INDEX_URL`. pip itself is not asked: it is slow and may be missing.
    """
    said: dict[str, str] = {}
    for file in _pip_files(environment):
        parser = RawConfigParser()
        with suppress(OSError, UnicodeDecodeError, ConfigError):
            parser.read(file, encoding="utf-8")
            for section in ("global", "install"):
                said |= dict(parser[section]) if parser.has_section(section) else {}
    for name, value in environment.items():
        if name.startswith("PIP_"):
            said[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    found: dict[str, str] = {}
    for name, value in said.items():
        words = [word for word in value.split() if not word.startswith("file:")]
        name = name.replace("_", "-").removeprefix("default-")
        if name in _KEYS and words:
            found[name] = " ".join(words)
    return found


def _pip_files(environment: Mapping[str, str]) -> list[Path]:
    """Return the files that pip reads its settings from; a later file wins."""
    home, named = Path(environment.get("HOME") or Path.home()), environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    machine = [Path(folder) / "pip" for folder in (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    user = [home / ".pip", Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip"]
    folders = [*machine, Path("/etc"), *([] if named and Path(named).exists() else user), Path(sys.prefix)]
    return [folder / "pip.conf" for folder in folders] + ([Path(named)] if named else [])
