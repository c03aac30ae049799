"""Sweeps in another folder than the default: every hint works as it is typed, and a name that is elsewhere is told."""

import json
import os
import re
import shlex
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from launch import api
from launch.cli import console, main
from launch.errors import LaunchError
from launch.profiles.folders import runs_dirs
from launch.store.state import State
from tests.launch.made_sweep import Made, make_sweep, run_id_of

BAD = Made(state=State.FAILED, settings={"optim.lr": 0.1}, log="oh\n")
DONE = Made(state=State.SUCCEEDED, accuracy=0.9, settings={"optim.lr": 0.2})
OPEN = Made(state=State.PLANNED, settings={"optim.lr": 0.3})
COMMAND = re.compile(r"`(launch [^`]*)`")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs of the profile `station`; the current folder has a sweep `x.yaml` of one run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAUNCH_RUNS", raising=False)
    monkeypatch.setenv("LAUNCH_SLOTS", str(tmp_path / "slots"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "station.yaml").write_text(f"slots: 1\nruns_dir: {tmp_path}/far away  # large\n")
    command = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    (tmp_path / "x.yaml").write_text(json.dumps({"experiment": "digits/s5", "command": command}))
    return tmp_path / "far away"


def typed(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def commands(text: str) -> list[list[str]]:
    """Return the words of each command in a hint."""
    return [shlex.split(found)[1:] for found in COMMAND.findall(text)]


@pytest.mark.parametrize("options", [["--on", "station"], ["--runs", "some where"]])
def test_the_hints_of_a_submission_work_as_typed(
    place: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = typed("sweep", "x.yaml", "--detach", *options, capsys=capsys)
    assert code == 0
    watch, cancel = commands(err)
    assert (watch[:2], cancel[:2]) == (["watch", "x"], ["cancel", "x"])
    assert watch[2:] == cancel[2:] == options
    _, out, _ = typed("sweep", "x.yaml", "--dry-run", *options, capsys=capsys)
    assert "digits-s5-s0" in out  # a dry run is allowed while the sweep runs
    code, _, err = typed("sweep", "x.yaml", *options, capsys=capsys)
    if code:
        assert commands(err)[0] == ["watch", "x", *options]
    assert typed(*watch, capsys=capsys)[0] == 0
    assert typed("wait", "x", *options, capsys=capsys)[0] == 0
    assert typed(*cancel, capsys=capsys)[0] == 0
    assert not Path("runs").exists()


def test_the_hints_of_status_carry_the_place(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(place, "old", [BAD, DONE])
    _, out, err = typed("status", "old", "--on", "station", capsys=capsys)
    assert run_id_of(BAD) in out
    logs, retry = commands(err)
    assert logs == ["logs", f"old/{run_id_of(BAD)}", "--on", "station"]
    assert typed(*logs, capsys=capsys)[1] == "oh\n"
    assert retry == ["retry", "old", "--runs", str(place)]  # its --on says where the runs execute
    for verb in ("results", "report", "gc"):
        assert typed(verb, "old", "--on", "station", capsys=capsys)[0] == 0
    assert typed("logs", run_id_of(BAD), "--on", "station", capsys=capsys)[1] == "oh\n"


def test_what_a_process_prints_after_a_command_is_not_about_its_folder_of_runs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sweep(place, "old", [OPEN])
    assert "--on station" in typed("status", "old", "--on", "station", capsys=capsys)[2]
    console.note("type `launch rm old`")
    assert capsys.readouterr().err == "type `launch rm old`\n"


@pytest.mark.parametrize("verb", ["status", "watch", "wait", "cancel", "results", "report", "retry"])
def test_a_sweep_that_is_elsewhere_is_found(place: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    of_profile(place, "old", DONE, "station")
    code, _, err = typed(verb, "old", capsys=capsys)
    assert code == 2
    assert f"'old' under {Path('runs').absolute()}; it is under {place}" in err
    assert "hint: add `--on station`" in err
    assert typed(verb, "old", "--on", "station", capsys=capsys)[0] == 0


def test_of_profiles_that_share_a_folder_the_one_of_the_sweep_is_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.parent / "slurm" / "tail.yaml").write_text(f"runs_dir: {place}\n")
    of_profile(place, "own", BAD, "station")
    of_profile(place, "foreign", BAD, "of a colleague")
    runs = f"--runs '{place}'"
    for verb in ("retry", "status", "results"):
        assert "hint: add `--on station`\n" in typed(verb, "own", capsys=capsys)[2]
        assert f"hint: add `{runs}`\n" in typed(verb, "foreign", capsys=capsys)[2]
    assert f"hint: add `{runs}`\n" in typed("logs", run_id_of(BAD), capsys=capsys)[2]  # in two sweeps
    assert f"there are sweeps under {place}: add `{runs}`" in typed("status", capsys=capsys)[2]
    make_sweep(Path("runs"), "own", [DONE])
    assert f"own is also under {place}: --on station names that one" in typed("status", "own", capsys=capsys)[2]


def test_sweeps_that_are_all_elsewhere_are_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(place, "old", [BAD])
    assert f"there are sweeps under {place}: add `--on station`" in typed("status", capsys=capsys)[2]
    (place.parent / "slurm" / "other.yaml").write_text("runs_dir: /proc/1/root/secret\n")  # not readable, or absent
    assert typed("status", capsys=capsys)[0] == 0


def test_a_run_that_is_elsewhere_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(place, "old", [BAD])
    make_sweep(Path("runs"), "new", [OPEN])
    for verb in ("logs", "cancel"):
        assert f"; it is under {place}" in typed(verb, run_id_of(BAD), capsys=capsys)[2]
    code, _, err = typed("status", "new", "--on", "station", capsys=capsys)
    assert (code, f"add `--runs {Path('runs').absolute()}`" in err) == (2, True)


@pytest.mark.parametrize("mode", [["--dry-run"], ["--plan-only"]])
def test_a_sweep_that_would_run_again_in_another_folder_is_told(
    place: Path, mode: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    of_profile(place, "x", DONE, "station")
    told = f"a sweep x is also under {place} (`--on station`); its results do not count under {Path('runs').absolute()}"
    assert told in typed("sweep", "x.yaml", *mode, capsys=capsys)[2]
    assert "is also under" not in typed("sweep", "x.yaml", *mode, "--on", "station", capsys=capsys)[2]
    Path("x.yaml").rename("digits.yaml")  # the ids of its runs begin with this word
    assert "is also under" not in typed("sweep", "digits.yaml", *mode, capsys=capsys)[2]


def test_a_name_in_both_places_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_profile(place, "old", BAD, "station")
    make_sweep(Path("runs"), "old", [DONE])
    code, out, err = typed("status", "old", capsys=capsys)
    assert (code, run_id_of(DONE) in out) == (0, True)
    assert f"old is also under {place}: --on station names that one" in err
    assert "also under" not in typed("status", "old", "--on", "station", capsys=capsys)[2]
    assert "also under" not in typed("status", "old", "--runs", "runs", capsys=capsys)[2]


def test_a_sweep_is_moved_to_another_profile_from_where_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del place
    make_sweep(Path("runs"), "old", [DONE])
    assert "old: nothing to retry" in typed("retry", "old", "--on", "station", capsys=capsys)[2]


def test_the_command_that_resumes_names_file_and_profile(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(place, "x", [OPEN], file="x.yaml")
    _, _, err = typed("status", "x", "--on", "station", capsys=capsys)
    assert commands(err) == [["sweep", "x.yaml", "--on", "station"]]


def test_folders_of_runs_are_read_without_yaml_if_possible(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "launch"
    folder.mkdir(parents=True)
    texts = {
        "a": "backend: slurm\nruns_dir: ~/runs\n",
        "b": 'backend: slurm\nruns_dir: "/quoted/a b"\n',
        "c": '{"backend": "slurm", "runs_dir": "/json"}',
        "d": "backend: slurm\nruns_dir: null  # runs_dir: /no\n",
        "e": "# runs_dir: /no\n",
        "f": "runs_dir: [1]\n",
        "g": "runs_dir: ~\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    home = os.path.expanduser("~/runs")
    assert runs_dirs() == {"station": str(place), "a": home, "b": "/quoted/a b", "c": "/json"}


def test_an_error_in_python_names_the_argument_and_its_traceback_shows_the_hint(place: Path) -> None:
    make_sweep(place, "old", [DONE])
    for call in (lambda: api.open_sweep("old"), lambda: api.cancel("old"), lambda: api.read_log(run_id_of(DONE))):
        with pytest.raises(LaunchError) as caught:
            call()
        assert caught.value.hint == f'pass `runs="{place}"`'
        assert f'\nhint: pass `runs="{place}"`' in "".join(traceback.format_exception(caught.value))


def test_the_hint_is_printed_once_after_a_traceback(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(place, "old", [DONE])
    err = typed("status", "old", "--verbose", capsys=capsys)[2]
    assert "Traceback" in err
    assert err.count("hint: ") == 1


def of_profile(root: Path, name: str, made: Made, profile: str, file: str | None = None) -> None:
    """Write a sweep that was submitted with a profile."""
    state = make_sweep(root, name, [made], file=file).state()
    header = state.manifest.newest_header()
    state.freeze(replace(header, profile=profile), [listed.entry for listed in state.manifest.listed.values()])


def test_every_hint_has_the_options_that_were_typed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One rule: both options if both were typed; `--on` of a hint never changes where runs execute."""
    other = Path("else where")
    for root in (place, other):
        of_profile(root, "own", BAD, "station")
        of_profile(root, "moved", OPEN, "local", "x.yaml")
        of_profile(root, "foreign", OPEN, "cluster", "x.yaml")
    (place.parent / "slurm" / "cluster.yaml").write_text("backend: slurm\nruns_dir: /somewhere\n")
    run = f"own/{run_id_of(BAD)}"
    on, runs, far = ["--on", "station"], ["--runs", str(other)], ["--runs", str(place)]
    for options, wanted in (
        (on, {"own": [["logs", run, *on], ["retry", "own", *on]], "foreign": [["--on", "cluster", *far]]}),
        (runs, {"own": [["logs", run, *runs], ["retry", "own", *runs]], "foreign": [["--on", "cluster", *runs]]}),
        (
            [*on, *runs],
            {
                "own": [["logs", run, *on, *runs], ["retry", "own", *on, *runs]],
                "foreign": [["--on", "cluster", *runs]],
            },
        ),
    ):
        found = {name: commands(typed("status", name, *options, capsys=capsys)[2]) for name in ("own", "foreign")}
        assert found["own"] == wanted["own"]
        assert [words[2:] for words in found["foreign"]] == wanted["foreign"]
        assert typed(*found["own"][0], capsys=capsys)[1] == "oh\n"
    assert commands(typed("status", "moved", *runs, capsys=capsys)[2]) == [["sweep", "x.yaml", *runs]]
    make_sweep(Path("runs"), "own", [DONE])  # `launch retry own --on station` would mean this one
    assert commands(typed("status", "own", *on, capsys=capsys)[2])[1] == ["retry", "own", *far]


def test_hints_of_other_verbs_have_the_options_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_profile(place, "run-digits-s5-lr", OPEN, "station")
    of_profile(place, "own", BAD, "station")
    on = ["--on", "station"]
    assert commands(typed("status", "run-digits-s5-lr", *on, capsys=capsys)[2]) == [["run", "digits/s5", "…", *on]]
    hints = commands(typed("results", "run-digits-s5-lr", *on, capsys=capsys)[2])
    assert hints == [["run", "digits/s5", "…", *on]]
    words = ["optim.lr=0.1", *on, "--runs", "a b"]
    _, _, err = typed("sweep", "digits/s5", *words, "--only", "*", capsys=capsys)
    assert commands(err) == [["run", "digits/s5", *words]]
    assert commands(typed("run", "x.yaml", *words, capsys=capsys)[2]) == [["sweep", "x.yaml", *words]]
    out = typed("doctor", *on, capsys=capsys)[1]
    lines = out.splitlines()[next(n for n, line in enumerate(out.splitlines()) if "sweep run-digits" in line) :]
    assert commands(lines[1]) == [["status", *on], ["sweep", "FILE", *on]]


def test_the_command_that_resumes_a_retry_names_its_profile(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del place
    command = ["sh", "-c", "echo s5: no; exit 2"]  # a mistake in the config: the hint names the command of the sweep
    Path("y.yaml").write_text(json.dumps({"experiment": "digits/s5", "command": command}))
    on = ["--on", "station"]
    _, _, err = typed("sweep", "y.yaml", *on, capsys=capsys)
    assert commands(err)[1:] == [["sweep", "y.yaml", *on], ["retry", "y", *on]]
    logs, again, retry = commands(typed("retry", "y", *on, capsys=capsys)[2])
    assert (logs[1][:2], again, retry) == ("y/", ["sweep", "y.yaml", *on], ["retry", "y", *on])


@pytest.mark.parametrize(
    ("options", "denied", "hint"),
    [
        (["--on", "station"], "far away", "change the `runs_dir` of slurm/station.yaml, or add `--runs DIR`"),
        ([], "runs", "`--runs DIR` names another folder for the runs"),
        ([], "runs/.snapshots", "`--runs DIR` names another folder for the runs"),
    ],
)
@pytest.mark.parametrize("mode", [["--dry-run"], []])
def test_a_folder_of_runs_that_cannot_be_written_is_in_the_way(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    denied: str,
    hint: str,
    mode: list[str],
) -> None:
    (place.parent / denied).mkdir(parents=True)
    real = os.access  # root, who may run the tests, may write into every folder
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith(denied) and real(path, mode))
    code, _, err = typed("sweep", "x.yaml", *mode, *options, capsys=capsys)
    assert code == 2
    assert f"cannot write {place.parent / denied}" in err and "Permission denied" in err
    assert hint in err
    assert list((place.parent / denied).iterdir()) == []


def test_the_hint_to_resume_names_a_profile_that_exists_here(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another user has submitted the sweep, with a profile of another name."""
    sweep = make_sweep(place, "old", [OPEN])
    manifest = sweep.path / "manifest" / "0001.jsonl"
    manifest.write_text(re.sub(r'"profile": ?"\w+"', '"profile": "lab"', manifest.read_text()))
    assert commands(typed("status", "old", "--on", "station", capsys=capsys)[2]) == [
        ["sweep", "FILE", "--on", "station"]
    ]
    (place.parent / "slurm" / "lab.yaml").write_text("slots: 1\n")
    assert commands(typed("status", "old", "--on", "station", capsys=capsys)[2]) == [
        ["sweep", "FILE", "--on", "lab", "--runs", str(place)]
    ]


def test_retry_names_what_continues_interrupted_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = [Made(state=State.PREEMPTED, settings={"optim.lr": rate}) for rate in (0.3, 0.4)]
    make_sweep(place.parent / "runs", "old", [DONE, *stopped])
    _, _, err = typed("retry", "old", capsys=capsys)
    assert [line for line in err.splitlines() if line] == [
        "old: nothing to retry",
        "hint: 2 runs not at work; `launch sweep FILE` resumes",
    ]


def test_the_command_that_resumes_has_a_path_that_is_seen_from_here(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on = ["--on", "station"]
    Path("x.yaml").write_text(json.dumps({"command": ["false"]}))
    assert typed("sweep", "x.yaml", "--plan-only", *on, capsys=capsys)[0] == 0
    assert commands(typed("status", "x", *on, capsys=capsys)[2]) == [["sweep", "x.yaml", *on]]
    (place.parent / "other").mkdir()
    monkeypatch.chdir(place.parent / "other")
    Path("x.yaml").touch()  # another file of this name
    file, runs = str(place.parent / "x.yaml"), ["--runs", str(place)]
    assert commands(typed("status", "x", *runs, capsys=capsys)[2])[0][:2] == ["sweep", file]
    assert "not a sweep" not in typed("show", "x", *runs, capsys=capsys)[2]  # of one run
