"""A stop request that a test controls."""

from s5.process.shutdown import StopRequest


class StopsAt(StopRequest):
    """A request that says stop when it is read for the n-th time; with n = 0 it never says stop."""

    def __init__(self, n: int = 0) -> None:
        self._left = n

    @property
    def stopping(self) -> bool:
        self._left -= 1
        return self._left == 0

    @property
    def reason(self) -> str:
        return "the test says so"
