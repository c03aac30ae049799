"""The current code shows, resumes, retries and evaluates runs that commit 7791133 stored."""

import json
from pathlib import Path

import pytest

from tests.old_runs.old_project import CLUSTER, HERE, RUN, WORDS, OldProject, content, read, reasons


@pytest.fixture
def here(tmp_path: Path) -> OldProject:
    """Runs of this machine."""
    return OldProject(tmp_path, "local")


@pytest.fixture
def cluster(tmp_path: Path) -> OldProject:
    """Runs of a cluster, which does not answer."""
    return OldProject(tmp_path, "cluster")


@pytest.fixture(params=["local", "cluster"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> OldProject:
    return OldProject(tmp_path, request.param)


def test_status_of_this_machine(here: OldProject) -> None:
    before = content(here.runs)
    assert {sweep: here.stand(sweep) for sweep in HERE} == HERE
    told = here.status("mix")
    assert [run["reason"] for run in told] == ["success", "nan", "cancelled", "interrupted", None]
    assert [run["settings"]["optim.lr"] for run in told] == [0.004, 1e30, 0.005, 0.006, 0.007]
    assert "not finite" in told[1]["message"]
    assert all(name in here.launch("status") for name in [*(set(HERE) - {"run"}), RUN])
    assert "waits for first seed=1" in here.launch("status", "order")
    assert content(here.runs) == before


def test_status_of_a_cluster_that_cannot_be_reached(cluster: OldProject) -> None:
    told = {sweep: cluster.stand(sweep) for sweep in CLUSTER}
    assert told == CLUSTER | {"lost": "R1"}  # only the cluster can say that its job is gone
    assert [run["reason"] for run in cluster.status("mix")] == ["success", "nan", "cancelled", "interrupted", "success"]
    assert reasons(cluster.folders("mix")[3]) == ["preempted", "timeout", "interrupted"]
    assert all(name in cluster.launch("status") for name in CLUSTER)


def test_results(either: OldProject) -> None:
    first = read(either.folders("mix")[0] / "result.json")["metrics"]["test/accuracy"]
    rows = json.loads(either.launch("results", "mix", "--format", "json"))
    assert [row["settings"] for row in rows] == [{"optim.lr": lr} for lr in (0.004, 1e30, 0.005, 0.006, 0.007)]
    assert (rows[0]["mean"], rows[0]["seeds"], rows[0]["published"]) == (first, [0], 0.7)
    assert [row["mean"] is None for row in rows[1:4]] == [True, True, True]
    assert f"{100 * first:.2f}" in either.launch("results", "sweeps/mix.yaml")
    assert either.launch("results", "mix", "--format", "csv").count("\n") == 6
    (well, *others) = json.loads(either.launch("results", "commands", "--format", "json"))
    assert (well["settings"], well["mean"], well["std"]) == ({"block": "well"}, 0.9, 0.0)
    assert [row["settings"]["block"] for row in others] == ["badly", "slow", "late", "unwanted"]


def test_report(either: OldProject) -> None:
    page = either.launch("report", "mix", "--output", "-")
    assert "<svg" in page and "70.00" in page
    either.launch("report", "order")
    assert "<html" in (either.folder / "order.html").read_text()


def test_logs(either: OldProject) -> None:
    for sweep in ("mix", "commands", "again"):
        for run in either.folders(sweep):
            attempts = sorted(run.glob("attempts/*"))
            if attempts:
                assert either.launch("logs", f"{sweep}/{run.name}") == (attempts[-1] / "log.txt").read_text()
    first = either.folders("again")[0]
    assert either.launch("logs", f"again/{first.name}", "--attempt", "0") == "no luck today\n"


@pytest.mark.timeout(900)  # on a busy machine its trainings, one after the other, take minutes
def test_a_sweep_of_trainings_goes_on(here: OldProject) -> None:
    runs = here.folders("mix")
    done = content(runs[0])
    stopped = int(next((runs[3] / "attempts/0/checkpoints").iterdir()).name)
    here.launch("sweep", "sweeps/mix.yaml", code=1)
    assert here.folders("mix") == runs
    assert here.stand("mix") == "S1 F1 C1 S2 S1"
    assert content(runs[0]) == done
    first_line = (runs[3] / "attempts/1/metrics.jsonl").read_text().splitlines()[0]
    assert json.loads(first_line) == {"resumed_from": {"attempt": 0, "step": stopped}}
    # The cluster had executed the last one already: the numbers are the same but for the order of additions.
    stored = read(here.folder / "cluster/mix" / runs[4].name / "result.json")
    assert read(runs[4] / "result.json")["metrics"] == pytest.approx(stored["metrics"], abs=0.05)


def test_trainings_are_retried(here: OldProject) -> None:
    runs = here.folders("mix")
    done = content(runs[0])
    here.launch("retry", "mix", code=1)
    assert here.stand("mix") == "S1 F2 S2 E1 -0"
    assert reasons(runs[1]) == ["nan", "nan"]
    assert reasons(runs[2]) == ["cancelled", "success"]
    assert content(runs[0]) == done


def test_a_sweep_of_commands_goes_on_and_is_retried(here: OldProject) -> None:
    runs = here.folders("commands")
    here.launch("sweep", "sweeps/commands.yaml", code=1)
    assert here.folders("commands") == runs
    assert here.stand("commands") == "S1 S1 F1 C1 S2 S1 C0"
    here.launch("retry", "commands", "--failed")
    assert here.stand("commands") == "S1 S1 S2 C1 S2 S1 C0"
    here.launch("retry", "commands")
    assert here.stand("commands") == "S1 S1 S2 S2 S2 S1 S1"


def test_an_interrupted_retry_goes_on(here: OldProject) -> None:
    here.launch("sweep", "sweeps/anew.yaml")
    assert here.stand("anew") == "S3 S2"


def test_runs_that_come_after_others_go_on(here: OldProject) -> None:
    runs = here.folders("order")
    here.launch("sweep", "sweeps/order.yaml", code=1)
    assert here.stand("order") == HERE["order"]
    here.launch("retry", "order")
    assert here.folders("order") == runs
    assert here.stand("order") == "S1 S2 S1 S1 S1"
    assert read(runs[3] / "attempts/0/after.json") == {"first seed=1": [str(runs[1])]}
    assert (runs[3] / "attempts/0/log.txt").read_text() == "learned\n"


def test_what_has_succeeded_is_not_executed_again(here: OldProject) -> None:
    before = [content(here.runs / sweep / run.name) for sweep in ("again", "later") for run in here.folders(sweep)]
    here.launch("sweep", "sweeps/again.yaml")
    here.launch("sweep", "sweeps/later.yaml")  # its turn has come, as the sweep before it has succeeded
    here.launch("retry", "again")
    after = [content(here.runs / sweep / run.name) for sweep in ("again", "later") for run in here.folders(sweep)]
    assert after == before


def test_a_lost_run_goes_on(here: OldProject) -> None:
    here.launch("run", *WORDS, "seed=2", "resources.cpus_per_task=1")
    assert here.stand("run") == "S2"
    assert [path.name for path in here.runs.glob("run-*")] == [RUN]
    (run,) = here.folders("run")
    assert "resumed_from" in (run / "attempts/1/metrics.jsonl").read_text().splitlines()[0]


def test_runs_without_the_launcher_go_on(here: OldProject) -> None:
    done, stopped = sorted((here.runs / "_single").iterdir(), key=lambda run: not (run / "result.json").exists())
    before = content(done)
    metrics = read(done / "result.json")["metrics"]
    assert f"{metrics['test/accuracy']:.6g}" in here.s5(f"experiment={WORDS[0]}", *WORDS[1:])
    assert content(done) == before
    here.s5(f"experiment={WORDS[0]}", *WORDS[1:], "seed=1")
    assert (stopped / "result.json").exists()
    assert "resumed_from" in (stopped / "attempts/1/metrics.jsonl").read_text().splitlines()[0]
    assert {run.name for run in (here.runs / "_single").iterdir()} == {done.name, stopped.name}


@pytest.mark.parametrize("run", ["local/mix/*lr=0.004*", "local/_single/*-s0-*", "cluster/mix/*lr=0.007*"])
def test_a_stored_model_is_evaluated_as_it_was(here: OldProject, run: str) -> None:
    (folder,) = here.folder.glob(run)
    stored = read(folder / "result.json")["metrics"]
    told = json.loads(here.s5("evaluate", str(folder), "--json"))
    assert set(told) == {"test/accuracy", "test/loss"}
    assert told == pytest.approx({name: stored[name] for name in told}, rel=1e-4)
