"""Variables that change how JAX and XLA compute: dropped, or recorded and compared."""

from pathlib import Path

import jax
import pytest

from s5.errors import UserError
from s5.process.flags import check_flags, drop_settings, read_flags
from tests.quickly import QUICKLY
from tests.s5.conftest import TINY, Program


def test_every_setting_of_jax_is_dropped_or_only_tells_more() -> None:
    variables = {name.upper(): "x" for name in jax.config.values if name.startswith("jax_")}
    drop_settings(variables)
    assert all(
        name.startswith(("JAX_LOG", "JAX_DEBUG", "JAX_DUMP", "JAX_TRACEBACK", "JAX_EXPLAIN"))
        or name.endswith(
            (
                "PLATFORMS",
                "VISIBLE_DEVICES",
                "COLLECTIVES_IMPLEMENTATION",
                "DISTRIBUTED_DEBUG",
                "ENABLE_COMPILATION_CACHE",
            )
        )
        or name.startswith("JAX_PERSISTENT_CACHE_")
        for name in variables
    ), sorted(variables)
    assert "JAX_PLATFORMS" in variables


def test_what_is_dropped_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    shell = {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "JAX_PROCESS_ID": "0", "PATH": "/bin"}
    drop_settings(shell)
    assert shell == {"JAX_PLATFORMS": "cpu", "JAX_PROCESS_ID": "0", "PATH": "/bin"}
    assert "not used: JAX_ENABLE_X64; the config alone" in capsys.readouterr().err


def test_flags_without_effect_on_numbers_and_their_order_do_not_count() -> None:
    flags = {
        "XLA_FLAGS": " --xla_b=2  --xla_dump_to=/x --xla_a=1 --xla_force_host_platform_device_count=8",
        "PATH": "/",
    }
    assert read_flags(flags) == {"XLA_FLAGS": "--xla_a=1 --xla_b=2"}
    assert read_flags({"XLA_FLAGS": "--xla_dump_to=/x"}) == {}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("", "--xla_c", "XLA_FLAGS is --xla_c, and the run was computed with no such flags"),
        ("--xla_c", "", "XLA_FLAGS is not set, and the run was computed with --xla_c"),
        ("--xla_c=1", "--xla_c=2", "XLA_FLAGS is --xla_c=2, and the run was computed with --xla_c=1"),
    ],
)
def test_other_flags_are_refused_by_name(before: str, now: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", now)
    facts = {"flags": {"XLA_FLAGS": before} if before else {}}
    with pytest.raises(UserError, match=said) as raised:
        check_flags(facts)
    assert "before Python starts" in (raised.value.hint or "")
    check_flags({})  # a checkpoint of an older version


@pytest.mark.slow
def test_a_run_does_not_resume_or_evaluate_with_other_flags(program: Program, tmp_path: Path) -> None:
    with program.start(*TINY, "train.epochs=3", "--run-dir", tmp_path / "r") as process:
        program.until(process, 1)
        process.terminate()
        process.communicate()
    assert process.returncode == 75
    other = f"{QUICKLY} --xla_cpu_enable_fast_math=true"
    code, _, err = program.run(*TINY, "train.epochs=3", "--run-dir", tmp_path / "r", XLA_FLAGS=other)
    assert code == 2
    assert "--xla_cpu_enable_fast_math=true" in err
    code, _, err = program.run("evaluate", tmp_path / "r", XLA_FLAGS=other)
    assert code == 2
    assert "XLA_FLAGS" in err
