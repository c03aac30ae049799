"""Measures how long tests take and keeps it in pytest's cache; the next run starts with the longest tests.

Each worker gets whole files, the longest first, so that no worker has a long file left at the end. In a new clone no
durations are known; tests with the markers `cluster`, `engine` and `slow` then come first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.engines.docker_fixtures import ENGINE_TESTS
from tests.engines.slurm_fixtures import CLUSTER_TESTS

_KEY = "durations"
_CLUSTERS = 2  # most of what a cluster's tests do is wait, so the tests of two clusters wait at once
_UNKNOWN_S = 1.0  # what a test counts that has never run here


def known_durations(config: pytest.Config) -> dict[str, float]:
    """Return the seconds that each test took when it last ran here, by node id."""
    return config.cache.get(_KEY, {}) if config.cache is not None else {}


class Durations:
    """Measures the tests of a session, in the process that reports to the user."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the set-up, the call or the clean-up of a test."""
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        """Store the durations, and keep the stored durations of tests that did not run."""
        root, known = self._config.rootpath, known_durations(self._config)
        kept = {test: seconds for test, seconds in known.items() if (root / test.partition("::")[0]).exists()}
        measured = {test: round(seconds, 2) for test, seconds in self._seconds.items()}
        if self._config.cache is not None:
            self._config.cache.set(_KEY, kept | measured)


class LongestFirst(LoadScopeScheduling):
    """Gives each worker all tests of a file, or of the files that share an engine; the longest first."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._durations = known_durations(config)
        self._clusters: dict[str, str] = {}

    def _seconds(self, tests: Iterable[str]) -> float:
        return sum(self._durations.get(test, _UNKNOWN_S) for test in tests)

    def _assign_work_unit(self, node: Any) -> None:
        if self._durations:
            self.workqueue.move_to_end(
                max(self.workqueue, key=lambda scope: self._seconds(self.workqueue[scope])), False
            )
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(ENGINE_TESTS):
            return ENGINE_TESTS
        if file.startswith(CLUSTER_TESTS):
            self._clusters = self._clusters or self._share_clusters()
            return self._clusters[file]
        return file

    def _share_clusters(self) -> dict[str, str]:
        """Return the cluster for each file of its tests, so that both clusters are busy for about the same time."""
        tests: dict[str, list[str]] = {}
        for test in self.collection or ():
            if test.startswith(CLUSTER_TESTS):
                tests.setdefault(test.partition("::")[0], []).append(test)
        busy = dict.fromkeys((f"{CLUSTER_TESTS}{n}" for n in range(_CLUSTERS)), 0.0)
        clusters: dict[str, str] = {}
        for file in sorted(tests, key=lambda file: -self._seconds(tests[file])):
            clusters[file] = min(busy, key=lambda cluster: busy[cluster])
            busy[clusters[file]] += self._seconds(tests[file])
        return clusters
