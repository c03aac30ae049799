"""What counts as a secret: run directories can be read by everybody, so none may be stored in them."""

import re

_NAME = re.compile(
    r"(?:^|_)(?:api_?key|access_?key|auth|credentials?|jwt|key|passphrase|password|passwd|secrets?|token)(?:$|_(?!dir|file))",
    re.IGNORECASE,
)
_VALUE = re.compile(r"://[^/@\s]+:[^/@\s]+@")


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable has the name of a secret, or its value is an address with a password."""
    return _NAME.search(name) is not None or _VALUE.search(value) is not None
