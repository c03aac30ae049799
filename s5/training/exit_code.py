"""Messages and exit codes for the exceptions that end a run. This module does not import JAX."""

import errno

from s5.errors import NonFiniteLoss, PeerLost, Stopped, UserError, say
from s5.run_dir.result import Exit, ResultError

_EXTRA = ("jax", "jaxlib", "flax", "optax", "orbax", "grain", "numpy", "jaxtyping")
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def explain(error: Exception) -> Exit | None:
    """Print a message and a hint for an exception, and return the exit code.

    Args:
        error: The exception that ended the run.

    Returns:
        The exit code; None for a bug, for which the caller shows the traceback.
    """
    match error:
        case Stopped():
            return Exit.STOPPED
        case NonFiniteLoss():
            say(f"s5: {error}\nhint: {error.hint}")
            return Exit.NAN
        case PeerLost():
            say(f"s5: {error}\nhint: {error.hint}")
            return Exit.CRASH
        case UserError():
            say(f"s5: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
            return Exit.USER_ERROR
        case ResultError():
            say(f"s5: {error}\nhint: move that file away; the run then continues from its last checkpoint")
            return Exit.USER_ERROR
        case ModuleNotFoundError() if (error.name or "").split(".")[0] in _EXTRA:
            say(f"s5: {error.name} is not installed\nhint: pip install 's5-launch[cpu]'")
            return Exit.USER_ERROR
        case OSError() if error.errno in _DISK_ERRORS:
            place = error.filename or "the run directory"
            say(f"s5: {place}: {error.strerror}\nhint: free some space or fix the permissions")
            return Exit.USER_ERROR
    return _explain_text(error)


def _explain_text(error: Exception) -> Exit | None:
    """Explain an error of XLA or Orbax, which can only be recognised by its text."""
    text = str(error)
    if "No space left on device" in text:
        say("s5: no space left on the device of the run directory\nhint: free some space, then repeat the command")
        return Exit.USER_ERROR
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        say(f"s5: out of memory: {text.splitlines()[0] if text else 'the host refused an allocation'}")
        say("hint: lower train.batch_size or train.eval_batch_size, or use a larger device")
        return Exit.OUT_OF_MEMORY
    return None
