"""The time limits for a training process whose supervisor has ended (an orphan). All follow from `ORPHAN_LIMIT_S`.

0 s     the supervisor has ended: the training process sees the pipe close, other processes send SIGTERM
25 s    the training process exits by itself, even if it has not written its checkpoint
30 s    the limit that the project promises; an engine's driver kills the container
35 s    any other process that waits for the orphan kills it
"""

# The promise to users: within this time a checkpoint is written; otherwise the run resumes at an earlier checkpoint.
ORPHAN_LIMIT_S = 30.0

# Processes poll and notice the end of the supervisor at slightly different times. So each outer process waits a little
# longer than the process inside, in order not to kill an orphan that is about to exit by itself.
_MARGIN_S = 5.0

TRAINING_EXITS_S = ORPHAN_LIMIT_S - _MARGIN_S
KILL_ORPHAN_S = ORPHAN_LIMIT_S + _MARGIN_S
