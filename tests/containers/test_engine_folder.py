"""If a user names a wrong folder for an engine of the tests, nothing in the folder is changed."""

from pathlib import Path

import pytest

from tests.engines.apptainer import Apptainer
from tests.engines.daemon import EngineError
from tests.engines.docker import Docker
from tests.engines.session import engine_of


@pytest.mark.parametrize(("kind", "engine"), [("docker", Docker), ("apptainer", Apptainer)])
def test_a_folder_of_others_is_refused(
    kind: str, engine: type[Docker | Apptainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f/run").mkdir(parents=True)
    (tmp_path / "f/run/dockerd.pid").write_text("1\n")
    monkeypatch.setenv(f"LAUNCH_TEST_{kind.upper()}", str(tmp_path / "f"))
    monkeypatch.setattr("tests.engines.docker._LONGEST", 500)
    before = sorted(tmp_path.rglob("*"))
    said = f"{tmp_path}/f holds something that tests.engines.{kind} has not made"
    with pytest.raises(EngineError, match=said), engine_of(kind, engine, engine.up):
        pass
    assert sorted(tmp_path.rglob("*")) == before
