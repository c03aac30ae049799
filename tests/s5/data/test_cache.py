import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s5 import catalog
from s5.data.cache import load_or_convert, read_cache, write_cache

INFO = catalog.CATALOG["mnist5k"]


def arrays(value: int = 0) -> dict[str, Any]:
    return {"images": np.full((20, 30), value, np.uint8), "labels": np.arange(20, dtype=np.uint8)}


def assert_same(found: Any, expected) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def refuse_to_convert() -> NoReturn:
    raise AssertionError("the raw files are read again")


def test_converts_once(tmp_path: Path) -> None:
    assert_same(load_or_convert(INFO, str(tmp_path), arrays), arrays())
    assert_same(load_or_convert(INFO, str(tmp_path), refuse_to_convert), arrays())
    assert [path.name for path in tmp_path.iterdir()] == ["mnist5k-v1.npz"]


def test_a_cache_of_other_raw_files_is_made_anew(tmp_path: Path) -> None:
    write_cache(catalog.cache_path(catalog.CATALOG["mnist5k"], str(tmp_path)), catalog.CATALOG["mnist"], arrays(1))
    assert_same(load_or_convert(INFO, str(tmp_path), arrays), arrays())


def test_a_cache_of_another_version_is_made_anew(tmp_path: Path) -> None:
    path = catalog.cache_path(catalog.CATALOG["mnist5k"], str(tmp_path))
    older = dataclasses.replace(INFO, version=0)
    assert catalog.cache_path(older, str(tmp_path)) != path
    write_cache(path, older, arrays(1))
    assert read_cache(path, INFO) is None
    assert_same(load_or_convert(INFO, str(tmp_path), arrays), arrays())
    assert_same(read_cache(path, INFO), arrays())


def test_a_torn_cache_is_made_anew(tmp_path: Path) -> None:
    path = catalog.cache_path(catalog.CATALOG["mnist5k"], str(tmp_path))
    write_cache(path, INFO, arrays(1))
    os.truncate(path, path.stat().st_size // 2)
    assert_same(load_or_convert(INFO, str(tmp_path), arrays), arrays())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_byte_is_found_or_harmless(tmp_path: Path, data) -> None:
    path = tmp_path / "x.npz"
    write_cache(path, INFO, arrays())
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    found = read_cache(path, INFO)
    if found is not None:
        assert_same(found, arrays())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cache_cut_anywhere_is_refused(tmp_path: Path, data) -> None:
    path = tmp_path / "x.npz"
    write_cache(path, INFO, arrays())
    os.truncate(path, data.draw(st.integers(0, path.stat().st_size - 1)))
    assert read_cache(path, INFO) is None


def test_a_cache_that_cannot_be_written_warns_and_the_data_are_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match=r"mnist5k-v1.npz: the cache cannot be written: Not a directory"):
        found = load_or_convert(INFO, str(tmp_path / "file/below"), arrays)
    assert_same(found, arrays())


def test_a_full_disk_leaves_no_half_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(file, **_members: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_up)
    with pytest.warns(UserWarning, match="No space left on device"):
        load_or_convert(INFO, str(tmp_path), arrays)
    assert list(tmp_path.iterdir()) == []


KILLED_HALFWAY = """
import os, signal, sys
from pathlib import Path
import numpy as np
from s5 import catalog
from s5.data.cache import write_cache

def half(file, **_members):
    file.write(b"PK half an archive")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

np.savez = half
write_cache(Path(sys.argv[1]), catalog.CATALOG["mnist5k"], {})
"""


def test_kill_during_the_write_leaves_the_old_cache_and_a_remnant_that_goes(tmp_path: Path) -> None:
    path = catalog.cache_path(catalog.CATALOG["mnist5k"], str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", KILLED_HALFWAY, path])
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    write_cache(path, INFO, arrays(1))
    subprocess.run([sys.executable, "-c", KILLED_HALFWAY, path])
    assert_same(read_cache(path, INFO), arrays(1))
    remnants = list(tmp_path.glob(".*.tmp"))
    assert len(remnants) == 2
    for remnant in remnants:
        os.utime(remnant, (time.time() - 7200,) * 2)
    write_cache(path, INFO, arrays(2))
    assert_same(read_cache(path, INFO), arrays(2))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


WRITES_FOR_EVER = """
import itertools, sys
from pathlib import Path
import numpy as np
from s5 import catalog
from s5.data.cache import write_cache
for n in itertools.count():
    write_cache(Path(sys.argv[1]), catalog.CATALOG["mnist5k"], {"images": np.full((500, 784), n % 256, np.uint8)})
    if n == 0:
        print("first", flush=True)
"""


def test_readers_see_whole_caches_while_writers_race_and_are_killed(tmp_path: Path) -> None:
    path = catalog.cache_path(catalog.CATALOG["mnist5k"], str(tmp_path))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, path], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "first\n"
        for round_ in range(60):
            if round_ % 20 == 19:
                writers[round_ // 20].kill()
            found = read_cache(path, INFO)
            assert found is not None
            assert len(np.unique(found["images"])) == 1
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
