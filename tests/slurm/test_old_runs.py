"""Runs that commit 7791133 stored on a cluster are resumed and retried on a cluster that does not know them."""

from pathlib import Path

import pytest

from tests.engines.slurm import Slurm
from tests.old_runs.old_project import CLUSTER, OldProject, content, reasons


@pytest.mark.timeout(900)  # on a busy machine its trainings, one after the other, take minutes
def test_stored_runs_of_a_cluster_go_on_and_are_retried(slurm: Slurm, tmp_path: Path) -> None:
    old = OldProject(tmp_path, "cluster", reached=True)
    assert {sweep: old.stand(sweep) for sweep in CLUSTER} == CLUSTER
    runs = {sweep: old.folders(sweep) for sweep in CLUSTER}
    done = {run: content(run) for sweep in runs for run in runs[sweep] if (run / "result.json").exists()}
    for sweep in CLUSTER:
        old.launch("sweep", f"sweeps/{sweep}.yaml", "--on", "site")
    ended = CLUSTER | {"anew": "S3 S2", "lost": "S2", "mix": "S1 F1 C1 S4 S1", "commands": "S1 S1 F1 C1 S2 S1 C0"}
    for sweep in CLUSTER:
        old.launch("wait", sweep, "--timeout", "4", code=int("F" in ended[sweep]))
        assert old.stand(sweep) == ended[sweep]
    assert reasons(runs["mix"][3]) == ["preempted", "timeout", "interrupted", "success"]
    assert "resumed_from" in (runs["mix"][3] / "attempts/3/metrics.jsonl").read_text().splitlines()[0]
    for sweep in CLUSTER:
        old.launch("retry", sweep)
    ended |= {"mix": "S1 F2 S2 S4 S1", "commands": "S1 S1 S2 S2 S2 S1 S1", "order": "S1 S2 S1 S1 S1"}
    for sweep in CLUSTER:
        old.launch("wait", sweep, "--timeout", "4", code=int("F" in ended[sweep]))
        assert old.stand(sweep) == ended[sweep]
    assert {sweep: old.folders(sweep) for sweep in CLUSTER} == runs
    assert {run: content(run) for run in done} == done
