"""Checks that the package `s5` is this project's: the distribution s5-pytorch installs another package of this name.

A plain installation of s5-pytorch overwrites `s5/__init__.py`, and its removal deletes the file; an editable
installation of this project is shadowed. So this runs before the first import of `s5`.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

_OWN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "s5", "__init__.py")
_FIRST_WORDS = b'"""S5 and related sequence models in JAX'

FOREIGN = "its import name is `s5` too"
HINT = (
    "keep s5-pytorch in another environment: `pip uninstall s5-pytorch` here, then install this project again "
    "(`make env`, or `pip install --force-reinstall --no-deps s5-launch`)"
)


class ForeignPackage(ImportError):
    """Raised if `import s5` would import another package than this project's."""


def check_own_s5() -> None:
    """Raise ForeignPackage if `import s5` would import another package than this project's."""
    spec = find_spec("s5")
    found = None if spec is None else spec.origin
    if found is None:
        raise ForeignPackage(f"{_OWN} is missing: the removal of s5-pytorch deletes it\nhint: {HINT}")
    with open(found, "rb") as file:
        is_own = file.read(len(_FIRST_WORDS)) == _FIRST_WORDS
    if not is_own or not os.path.samefile(os.path.dirname(found), os.path.dirname(_OWN)):
        raise ForeignPackage(
            f"{found} is not the package `s5` of {os.path.dirname(os.path.dirname(_OWN))}: "
            f"it may be that of s5-pytorch; {FOREIGN}\nhint: {HINT}"
        )


def exit_if_foreign() -> None:
    """End this command with a message if `import s5` would import another package than this project's."""
    try:
        check_own_s5()
    except ForeignPackage as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
