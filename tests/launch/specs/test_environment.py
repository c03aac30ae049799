"""Which variables reach programs: the rules, and the page that lists them for users."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.specs.container import PASS_VARIABLE
from launch.specs.environment import FAMILIES, clean_environment, dropped_settings, submission_environment

PAGE = Path(__file__).parents[3] / "docs/environment.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
# Columns and values that a shell has in all cases.
SHELL = {"PATH": "/bin", "HOME": "/root", "USER": "me", "LANG": "C"}


def _is_kept(name: str) -> bool:
    return name in clean_environment({**SHELL, name: "x"})


@pytest.mark.parametrize("row", ROWS)
def test_the_page_says_what_becomes_of_a_variable(row: str) -> None:
    names, treatment = (cell.strip() for cell in row.strip("|").split("|")[:2])
    for pattern in re.findall(r"`([^`]+)`", names):
        name = pattern.replace("*", "NO_ROW_NAMES_THIS")
        if treatment.startswith("kept on this machine"):
            assert _is_kept(name)
            assert name not in submission_environment({name: "0"})
        else:
            # Slurm's clients get the variables that are set from the launcher itself.
            assert _is_kept(name) == treatment.startswith("kept"), name


def test_the_page_lists_all_patterns() -> None:
    listed = set(re.findall(r"`([A-Z_0-9*]+)`", "\n".join(row.split("|")[1] for row in ROWS)))
    missing = {pattern for family in FAMILIES for pattern in (*family.dropped, *family.kept)} - listed
    assert not missing


@given(
    st.sampled_from([prefix for family in FAMILIES for prefix in family.dropped if prefix.endswith("*")]),
    st.text("AB_7", min_size=1),
)
def test_a_name_of_a_known_prefix_that_no_row_names_is_dropped(prefix: str, rest: str) -> None:
    assert not _is_kept(prefix.removesuffix("*") + "Q" + rest)


def test_what_the_profile_sets_is_kept() -> None:
    given = {"XLA_FLAGS": "--a", "JAX_ENABLE_X64": "1", PASS_VARIABLE: "XLA_FLAGS"}
    assert clean_environment(given) == {"XLA_FLAGS": "--a", PASS_VARIABLE: "XLA_FLAGS"}


def test_users_are_told_of_settings_only_for_what_they_use() -> None:
    shell = {
        **SHELL,
        "SLURM_JOB_ID": "1",
        "PMI_RANK": "0",
        "JAX_NUM_PROCESSES": "2",
        "SBATCH_QOS": "x",
        "APPTAINER_BIND": "/a",
        "DOCKER_DEFAULT_PLATFORM": "linux/arm64",
        "JAX_ENABLE_X64": "1",
        "WANDB_API_KEY": "k",
        "WANDB_RUN_ID": "r",
    }
    always = ["JAX_ENABLE_X64", "WANDB_RUN_ID"]
    submitted = ["APPTAINER_BIND", "JAX_ENABLE_X64", "SBATCH_QOS", "WANDB_RUN_ID"]
    assert dropped_settings(shell, backend="local", runtime="bare") == always
    assert dropped_settings(shell, backend="slurm", runtime="apptainer") == submitted
    assert dropped_settings(shell, backend="local", runtime="docker") == ["DOCKER_DEFAULT_PLATFORM", *always]
