import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from launch.cli import main
from launch.cli.parser import load_verb, make_parser
from launch.cli.verbs import ACTIONS, EXIT_CODES, OF_STORED_RUNS, OF_SUBMISSION, VERBS, WITHOUT_RUNS
from launch.errors import ExitCode
from launch.store.records import PublishedNumber
from launch.store.state import Reason, State
from tests.launch.made_sweep import Made, make_sweep, run_id_of

GOOD = Made(state=State.SUCCEEDED, accuracy=0.95, settings={"optim.lr": 0.001})
ALSO_GOOD = Made(state=State.SUCCEEDED, accuracy=0.97, settings={"optim.lr": 0.001}, seed=1)
BAD = Made(
    state=State.FAILED,
    reason=Reason.NAN,
    message="the loss is not a number",
    settings={"optim.lr": 0.1},
    log="oh\nno\n",
)
OPEN = Made(state=State.PLANNED, settings={"optim.lr": 0.1}, seed=1)


# Every command line that has a help, options and examples of its own.
COMMANDS = [f"{verb} {action}".strip() for verb in VERBS for action in ACTIONS.get(verb, ("",))]


def launch(*words: str, code: int = ExitCode.OK) -> None:
    assert main(list(words)) == code


def test_help_names_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    launch("--help")
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in VERBS)
    assert EXIT_CODES in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_verb_and_action_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*name.split(), "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: launch {name} ")
    assert EXIT_CODES in out
    assert f"examples:\n  launch {name}" in out or "examples:\n  launch sweep" in out
    with pytest.raises(SystemExit):
        main(["help", *name.split()])
    assert capsys.readouterr().out == out


def test_what_verbs_have_to_do_with_runs_agrees_with_their_options() -> None:
    options = {name: make_parser(name, load_verb(name)).options() for name in COMMANDS}
    assert {name for name in COMMANDS if "--runs" not in options[name]} == WITHOUT_RUNS
    others = {"doctor", "shell"}  # their `--on` is not about runs
    assert {name for name in COMMANDS if "--on" in options[name]} == OF_STORED_RUNS | OF_SUBMISSION | others


@pytest.mark.parametrize("verb", ACTIONS)
def test_a_verb_with_actions_lists_them(verb, capsys: pytest.CaptureFixture[str]) -> None:
    launch(verb, "-h")
    out = capsys.readouterr().out
    assert out.startswith(f"usage: launch {verb} ACTION …")
    assert all(f"  {action} " in out for action in ACTIONS[verb])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_that_parses(name: str) -> None:
    for line in load_verb(name).EXAMPLES.strip().splitlines():
        for command in line.split("  ")[0].split(" && "):
            words = [word.strip("'") for word in command.split(">")[0].split("|")[0].removesuffix(" 2").split()]
            assert words[0] == "launch"
            name = " ".join(words[1:3]) if words[1] in ACTIONS else words[1]
            make_parser(name, load_verb(name)).parse(words[1 + len(name.split()) :])


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["sweeep", "x.yaml"], "launch: unknown verb 'sweeep'; did you mean sweep?", "launch --help"),
        (["zzzzzz"], "launch: unknown verb 'zzzzzz'", "launch --help"),
        (["--versoin"], "launch: unknown option '--versoin'; did you mean --version?", "launch --help"),
        (["sweep", "x.yaml", "--dry-rnu"], "unknown option '--dry-rnu'; did you mean --dry-run?", "sweep --help"),
        (["sweep", "digits/s5"], "digits/s5 is an experiment, not a sweep file", "`launch run digits/s5`"),
        (["run", "tiny.yaml"], "tiny.yaml is a sweep file, not an experiment", "`launch sweep tiny.yaml`"),
        (["sweep", "-dash.yaml"], "'-dash.yaml' looks like an option", "./-dash.yaml"),
        (["run", "digits/s5", "seed=3", "seeds=4"], "seed=3 and seeds=4 both set the seeds", "keep one"),
        (["wait", "x", "--timeout", "-3"], "invalid duration: -3", "launch wait --help"),
        (["wait", "x", "--timeout", "nan"], "invalid duration: nan", "launch wait --help"),
        (["logs", "x", "--tail", "-1"], "-1 is negative", "launch logs --help"),
        (["logs", "a", "b"], "launch logs: unexpected 'b'", "launch logs --help"),
        (["image"], "launch image: what to do is missing: one of build, list", "launch image --help"),
        (["image", "biuld"], "launch image: unknown action 'biuld'; did you mean build?", "launch image --help"),
        (["image", "zzz"], "launch image: unknown action 'zzz'; it is one of build, list", "launch image --help"),
        (["image", "--json", "list"], "launch image: the action comes before --json", "launch image --help"),
        (["image", "list", "--jsno"], "unknown option '--jsno'; did you mean --json?", "launch image list --help"),
        (["image", "list", "--to", "sif"], "--to is an option of convert, not of list", "image list --help"),
        (["image", "list", "x"], "launch image list: unexpected 'x'", "image list --help"),
        (["image", "convert", "cpu"], "are required: --to", "image convert --help"),
        (["image", "push", "cpu"], "are required: REPO", "image push --help"),
        (["image", "build", "cpu", "--runs", "x"], "--runs is an option of convert", "image build --help"),
        (["data", "fetch", "mnist"], "unknown action 'fetch'; it is one of prepare", "launch data --help"),
        (["status", "--state", "gone"], "invalid choice: 'gone'", "launch status --help"),
        (["status", "--state", "FAILD"], "'succeeded'); did you mean failed?", "launch status --help"),
        (["logs", "x", "--attempt", "two"], "invalid int value: 'two'", "launch logs --help"),
        (["status", "mnist"], "no sweep 'mnist' under", "no sweeps yet"),
        (["status", "gone.yaml"], "gone.yaml: no such sweep file", "no sweeps yet"),
        (["logs", "s5"], "no run 's5' under", "launch status SWEEP"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_with_2_a_message_and_a_hint(
    words: list[str], message: str, hint: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch(*words, code=ExitCode.USAGE)
    out, err = capsys.readouterr()
    assert out == ""
    first, blank, last = err.rstrip("\n").split("\n")
    assert first.startswith("error: ") and message in first
    assert blank == ""
    assert last.startswith("hint: ") and hint in last


def test_a_misspelt_sweep_and_run_show_the_nearest(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "quickstart", [GOOD, replace(GOOD, seed=7)])
    launch("status", "quikstart", code=2)
    assert "did you mean quickstart?" in capsys.readouterr().err
    launch("logs", run_id_of(GOOD).replace("digits", "digts"), code=2)
    assert f"did you mean {run_id_of(GOOD)}?" in capsys.readouterr().err
    launch("logs", "quickstart", code=2)
    assert "'quickstart' is a sweep, not a run" in capsys.readouterr().err
    launch("retry", run_id_of(GOOD), code=2)
    assert "is a run of the sweep quickstart, not a sweep" in " ".join(capsys.readouterr().err.split())


def test_verbose_shows_the_traceback_of_a_mistake(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("status", "gone", "--verbose", code=2)
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    launch("--verbose", "status", "gone", code=2)
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.store.store.Store.sweeps", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["status"])


def test_options_are_never_abbreviated(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("sweep", "x.yaml", "--dry", code=2)
    assert "unknown option '--dry'" in capsys.readouterr().err


def test_options_may_stand_between_overrides() -> None:
    args = make_parser("sweep", load_verb("sweep")).parse(["x.yaml", "a=1", "--on", "here", "b=2", "--dry-run", "~c"])
    assert (args.file, args.overrides, args.on, args.dry_run) == ("x.yaml", ["a=1", "b=2", "~c"], "here", True)


def test_status_lists_the_sweeps(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [GOOD, BAD])
    make_sweep(runs, "two", [OPEN])
    launch("status")
    assert capsys.readouterr().out.splitlines() == [
        "sweep  runs  failed  planned  succeeded   changed",
        "one       2       1        0          1  just now",
        "two       1       0        1          0  just now",
    ]


def test_status_of_nothing_says_so(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("status")
    out, err = capsys.readouterr()
    assert out == ""
    assert f"no sweeps under {runs}" in err


def test_status_of_a_sweep_shows_every_run_and_what_to_type(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [GOOD, BAD, OPEN], file="sweeps/one.yaml")
    launch("status", "one")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    age = [f"{int((time.time() - 1090) // 86_400):,}", "d", "ago"]
    assert lines[0].split() == ["run", "state", "attempts", "progress", "time", "changed", "reason"]
    assert lines[1].split() == [run_id_of(GOOD), "SUCCEEDED", "1", "100", "%", "1:30", *age]
    assert lines[2].split(maxsplit=8) == [
        run_id_of(BAD),
        "FAILED",
        "1",
        "—",
        "1:30",
        *age,
        "nan: the loss is not a number",
    ]
    assert "one: 3 runs: 1 failed, 1 planned, 1 succeeded" in err
    assert "hint: 1 run not at work; `launch sweep FILE` resumes" in err


def test_status_takes_the_file_of_a_sweep(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "quickstart", [GOOD])
    make_sweep(runs, "named", [BAD])
    Path("named-otherwise.yaml").write_text("# a sweep\nname: named\n")
    launch("status", "somewhere/quickstart.yaml")
    assert run_id_of(GOOD) in capsys.readouterr().out
    launch("status", "named-otherwise.yaml")
    assert run_id_of(BAD) in capsys.readouterr().out


def test_status_json_is_one_object_per_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [GOOD, BAD])
    make_sweep(runs, "two", [OPEN])
    launch("status", "--json")
    views = json.loads(capsys.readouterr().out)
    assert [(v["sweep"], v["state"]) for v in views] == [("one", "SUCCEEDED"), ("one", "FAILED"), ("two", "PLANNED")]
    assert views[1]["reason"] == "nan"
    launch("status", "one", "--json", "--state", "failed")
    (view,) = json.loads(capsys.readouterr().out)
    assert (view["settings"], view["run_id"]) == ({"optim.lr": 0.1}, run_id_of(BAD))


def test_status_changes_nothing(runs: Path) -> None:
    make_sweep(runs, "one", [GOOD, BAD, OPEN])
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    launch("status", "one")
    launch("results", "one")
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_results_show_percent_published_and_difference(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [
        PublishedNumber(experiment="digits/s5", settings={"optim.lr": 0.001}, metric="test/accuracy", value=0.94),
        PublishedNumber(experiment="digits/lru", metric="test/accuracy", value=0.9),
    ]
    make_sweep(runs, "one", [GOOD, ALSO_GOOD, BAD, OPEN], published=numbers)
    launch("results", "one")
    out, _ = capsys.readouterr()
    assert [line.split("  ") for line in out.splitlines()] == [line.split("  ") for line in RESULTS.splitlines()]


RESULTS = """\
experiment  lr     seeds  test/accuracy %  published  difference  runs
digits/s5   0.001      2     96.00 ± 1.41      94.00       +2.00  2 succeeded
digits/s5   0.1      0/2                —          —           —  1 failed, 1 planned
digits/lru  —          0                —      90.00           —  —"""


def test_what_is_required_is_what_has_no_default(capsys: pytest.CaptureFixture[str]) -> None:
    launch("sweep", code=2)
    assert capsys.readouterr().err.splitlines()[0].endswith("the following arguments are required: FILE")


def test_results_without_published_numbers_have_no_columns_for_them(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sweep(runs, "one", [GOOD])
    launch("results", "one")
    assert capsys.readouterr().out == (
        "experiment  lr     seeds  test/accuracy %\ndigits/s5   0.001      1        95.00 ± —\n"
    )
    launch("results", "one", "--format", "csv")
    assert "published,difference" in capsys.readouterr().out


def test_runs_that_leave_no_metric_have_no_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [Made(state=State.SUCCEEDED, seed=0), Made(state=State.SUCCEEDED, seed=1), BAD])
    launch("results", "one")
    assert capsys.readouterr() == ("", "one: 2 succeeded, 1 failed; no run left a metric\n")


def test_results_of_what_was_never_started_say_what_to_type(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [OPEN])
    launch("results", "one")
    assert "hint: no run of one has been started; `launch sweep FILE` starts them" in capsys.readouterr().err


def test_results_go_to_a_file(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [GOOD])
    launch("results", "one", "--format", "json", "--output", "x.json")
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"wrote {Path('x.json').absolute()}\n")
    assert json.loads(Path("x.json").read_text())[0]["mean"] == 0.95
    launch("results", "one", "--output", "no/such/folder", code=2)
    assert "no/such/folder: No such file or directory" in capsys.readouterr().err


def test_results_of_an_unknown_metric_show_the_nearest(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [GOOD])
    launch("results", "one", "--metric", "test/acc", code=2)
    assert "did you mean test/accuracy?" in capsys.readouterr().err


def command(*words: str, **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "launch.cli", *words],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_closed_pipe_is_silent(runs: Path) -> None:
    make_sweep(runs, "one", [Made(seed=seed) for seed in range(300)])
    process = command("status", "one", "--json")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), errors) == (0, b"")


@pytest.mark.parametrize("words", ["--help", "gc --help", "status one", "status one --json"])
def test_a_full_disk_behind_stdout_is_a_message(words: str, runs: Path) -> None:
    make_sweep(runs, "one", [GOOD])
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "launch.cli", *words.split()], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == ExitCode.USAGE
    assert b"error: stdout cannot be written: No space left on device\n" in done.stderr
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


def test_closed_streams_are_no_bug(runs: Path) -> None:
    make_sweep(runs, "one", [GOOD])
    script = f"{sys.executable} -m launch.cli status one <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", script], check=False).returncode == 0


def test_a_folder_that_is_gone_is_a_message(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    launch("status", code=2)
    assert "the current folder no longer exists" in capsys.readouterr().err


def test_a_long_description_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for verb in ("gc", "cancel", "retry"):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        description = capsys.readouterr().out.split("\n\n")[1]
        assert 20 < max(map(len, description.splitlines())) < 60


def test_a_start_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom launch.cli import main\nmain(['--help'])\n"
        "heavy = {'hydra', 'omegaconf', 'yaml', 'rich', 'jax', 'numpy', 'argparse', 'subprocess'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_status_imports_nothing_heavy(runs: Path) -> None:
    make_sweep(runs, "one", [GOOD, BAD])
    code = (
        "import sys\nfrom launch.cli import main\nmain(['status', 'one'])\n"
        "heavy = {'hydra', 'omegaconf', 'yaml', 'rich', 'jax', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
