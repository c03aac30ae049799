"""Numba's compiler. Its compiled programs are stored in the folder that `NUMBA_CACHE_DIR` names, if it is set."""

import os

from s5.catalog import DataError
from s5.data.cache import NUMBA_CACHE_VARIABLE

try:
    from numba import njit as njit
    from numba.core import config
except ImportError as error:
    raise DataError("Numba is not installed", hint="pip install 's5-launch[data]'") from error

if os.environ.get(NUMBA_CACHE_VARIABLE):
    # Numba reads the variable only once, and it may have been imported before the variable was set.
    setattr(config, "CACHE_DIR", os.environ[NUMBA_CACHE_VARIABLE])  # noqa: B010 - numba does not declare it
