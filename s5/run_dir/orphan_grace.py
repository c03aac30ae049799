"""How long a training process that lost its supervisor may take to stop. One number; every other limit follows from it.

0 s     the supervisor is gone: the training process sees its pipe close, others send SIGTERM
25 s    the training process exits by itself, whatever it is doing
30 s    the limit that the project promises; an engine's driver kills the container
35 s    any other process that waits for the orphan kills it
"""

# What users are promised: within this time a checkpoint is written, or the last one must do.
ORPHAN_LIMIT_S = 30.0

# Processes notice the loss at slightly different times and poll, so each one outside waits a little longer than the one
# inside: an orphan that is about to leave in good order must not be killed.
_MARGIN_S = 5.0

TRAINING_EXITS_S = ORPHAN_LIMIT_S - _MARGIN_S
KILL_ORPHAN_S = ORPHAN_LIMIT_S + _MARGIN_S
