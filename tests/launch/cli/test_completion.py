import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launch.cli import main
from launch.cli.completion import SCRIPTS, candidates
from launch.cli.parser import load_verb, make_parser
from launch.cli.verbs import ACTIONS, VERBS
from launch.store.state import State
from tests.launch.made_sweep import Made, make_sweep, run_id_of

RUN = Made(state=State.SUCCEEDED, settings={"lr": 1})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAUNCH_RUNS", raising=False)
    Path("my_plugin-1.dist-info").mkdir()  # an installed package with a plug-in
    Path("my_plugin-1.dist-info/entry_points.txt").write_text("[s5.plugins]\nmy_plugin = my_plugin\n")
    Path("my_plugin-1.dist-info/METADATA").write_text("Name: my-plugin\nVersion: 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    Path("sweeps").mkdir()
    Path("sweeps/quickstart.yaml").touch()
    Path("slurm").mkdir()
    Path("slurm/alps.yaml").touch()
    make_sweep(tmp_path / "runs", "quickstart", [RUN, Made(settings={"lr": 2})])
    return tmp_path


@pytest.mark.parametrize(
    ("before", "word", "found"),
    [
        ("", "s", ["sweep", "status"]),
        ("", "--", ["--help", "--version"]),
        ("", "x", []),
        ("nonsense", "", []),
        ("sweep", "", ["sweeps/quickstart.yaml"]),
        ("sweep", "--d", ["--dry-run", "--detach"]),
        ("sweep x.yaml --on", "a", ["alps"]),
        ("sweep x.yaml --on", "", ["local", "alps"]),
        ("run", "digits/", ["digits/s5"]),
        ("models", "s5", ["s5"]),
        ("sweep x.yaml --runtime", "do", ["docker"]),
        ("run digits/s5 --runtime", "a", ["apptainer"]),
        ("retry quickstart --runtime", "p", ["podman", "pyxis"]),
        ("sweep x.yaml --plugins", "my", ["my_plugin"]),
        ("shell --runtime", "ch", ["charliecloud"]),
        ("status", "", ["quickstart"]),
        ("status", "sweeps/", ["sweeps/quickstart.yaml"]),
        ("status quickstart", "", []),
        ("results quickstart --format", "", ["table", "csv", "json", "parquet"]),
        ("results --format csv", "q", ["quickstart"]),
        ("results quickstart --output", "", []),
        ("logs", "digits-s5-lr=1", [run_id_of(RUN)]),
        ("logs", "quickstart/digits-s5-lr=1", [f"quickstart/{run_id_of(RUN)}"]),
        ("logs --runs elsewhere", "", []),
        ("cancel quickstart", "q", ["quickstart"]),
        ("cancel quickstart", "digits-s5-lr=1", [run_id_of(RUN)]),
        ("completion", "", ["bash", "zsh", "fish"]),
        ("data prepare", "spam", ["spamassassin_bytes"]),
        ("data prepare mnist", "brown", ["brown_pairs"]),
        ("data", "", ["prepare", "--help"]),
        ("image", "p", ["push", "pull"]),
        ("image", "--", ["--help"]),
        ("image nonsense", "", []),
        ("image build", "c", ["cpu", "cuda12", "cuda13"]),
        ("image build", "--n", ["--no-network", "--network", "--no-cache"]),
        ("image list", "-", ["-h", "--help", "--json", "--builder", "--verbose"]),
        ("image list", "c", []),
        ("image convert cpu --to", "s", ["sif", "sqsh"]),
        ("image push", "cuda", ["cuda12", "cuda13"]),
        ("image push cpu", "c", []),
        ("image pull", "c", []),
    ],
)
def test_a_word_becomes(before: str, word: str, found: Any) -> None:
    assert [c for c in candidates(before.split(), word) if c in found or not found] == found
    assert all(c.startswith(word) for c in candidates(before.split(), word))


def test_every_option_of_every_verb_is_offered() -> None:
    for verb in VERBS:
        assert "--help" in candidates([verb], "-")
        assert ("--runs" in candidates([verb], "-")) == (verb not in ("completion", "models", *ACTIONS))


def test_every_option_of_every_action_is_offered_and_no_other() -> None:
    for verb, actions in ACTIONS.items():
        for action in actions:
            name = f"{verb} {action}"
            assert candidates(name.split(), "-") == make_parser(name, load_verb(name)).options()


def test_the_script_asks_with_the_index_of_the_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--words", "1", "status", "quick"]) == 0
    assert capsys.readouterr().out == "quickstart\n"
    assert main(["completion", "--words", "1", "status", "zzz"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["completion", "--words", "not a number"]) == 2


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_printed(shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "launch completion --words" in capsys.readouterr().out


def test_bash_completes(place: Path) -> None:
    """The script in a real bash: COMP_WORDS as it sets them, `launch` as this interpreter runs it."""
    script = f"""
        launch() {{ {sys.executable} -m launch.cli "$@"; }}
        {SCRIPTS["bash"]}
        complete_words() {{
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _launch
            printf '%s\\n' "${{COMPREPLY[@]}}"
        }}
        complete_words launch sta
        complete_words launch status quick
        complete_words launch results quickstart --format js
        complete_words launch image con
        complete_words launch image convert cpu --t
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["status", "quickstart", "json", "convert", "--to"]


def test_fish_completes_and_falls_back_to_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed: apt-get install fish")
    monkeypatch.setenv("HOME", str(place))
    (place / "profile").touch()
    script = f"""
        function launch; {sys.executable} -m launch.cli $argv; end
        {SCRIPTS["fish"]}
        for line in 'launch image p' 'launch status quick' 'launch results quickstart --output prof'
            complete -C $line
        end
    """
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pull", "push", "quickstart", "profile"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_valid_in_its_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, check=True)


def test_completing_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom launch.cli import main\n"
        "main(['completion', '--words', '1', 'logs', 'd'])\nmain(['completion', '--words', '2', 'sweep', 'x', '--'])\n"
        "never = {'hydra', 'omegaconf', 'yaml', 'rich', 'jax', 'numpy', 'json', 'launch.store.store'}\n"
        "heavy = never & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("before", "word", "expected"),
    [
        ("sweep x.yaml", "optim.ssm", ["optim.ssm_lr="]),
        ("run digits/s5 optim.lr=1", "resources.mem", ["resources.mem_gb=", "resources.mem_growth="]),
        ("sweep x.yaml", "seed", ["seeds=", "seed="]),
        ("sweep x.yaml", "model.kin", []),
    ],
)
def test_the_keys_of_a_config_are_completed(before: str, word: str, expected: list[str]) -> None:
    assert candidates(before.split(), word) == expected
