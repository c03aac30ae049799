import dataclasses
import hashlib
import http.server
import io
import random
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s5 import catalog
from s5.catalog import CATALOG, DataError
from s5.data.archive import unpack
from s5.data.download import fetch

FILES = {"basic_train.tsv": b"train", "basic_val.tsv": random.Random(0).randbytes(20_000), "basic_test.tsv": b"test"}
INFO = CATALOG["listops"]


def make_archive(
    path: Path, above: str = "lra_release/lra_release/listops-1000/", mode: str = "w:gz", **more: Any
) -> Path:
    members = {above + name: content for name, content in FILES.items()} | more
    with tarfile.open(path, mode) as tar:  # pyright: ignore[reportCallIssue]
        for name, content in {"lra_release/lra_release/other/x": b"no", **members}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:xz"])
@pytest.mark.parametrize("above", ["lra_release/lra_release/listops-1000/", "./listops-1000/", "listops-1000/"])
def test_the_wanted_folder_is_unpacked_from_any_depth(tmp_path: Path, mode: str, above: str) -> None:
    path = make_archive(tmp_path / "lra_release.gz", above, mode)
    unpack(INFO, path, str(tmp_path / "data"))
    assert contents(tmp_path / "data/listops-1000") == FILES
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["listops-1000"]
    assert set(catalog.find_files("listops", str(tmp_path / "data"))) == set(FILES)


def test_what_would_leave_the_folder_and_what_is_skipped_is_not_unpacked(tmp_path: Path) -> None:
    above = "listops-1000/"
    path = make_archive(tmp_path / "x.gz", above, **{above + "../../evil": b"x", above + "extra/y": b"y"})
    archive = dataclasses.replace(INFO.archives[0], skip=("extra",))
    unpack(dataclasses.replace(INFO, archives=(archive,)), path, str(tmp_path / "data"))
    assert contents(tmp_path / "data/listops-1000") == FILES
    assert not list(tmp_path.rglob("evil"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def replace(path: Path) -> None:
    path.write_bytes(b"<html>403 Forbidden</html>")


@pytest.mark.parametrize("harm", [cut, flip, replace])
def test_a_damaged_archive_is_named_and_leaves_nothing(tmp_path: Path, harm: Callable[..., Any]) -> None:
    path = make_archive(tmp_path / "lra_release.gz")
    harm(path)
    with pytest.raises(DataError, match=r"lra_release.gz: (damaged archive|not a tar archive|lacks )"):
        unpack(INFO, path, str(tmp_path / "data"))
    assert list((tmp_path / "data").iterdir()) == []


def test_an_archive_without_the_folder_is_refused(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "lra_release.gz", above="lra_release/lra_release/listops-99/")
    with pytest.raises(DataError, match=r"lacks basic_train.tsv, basic_val.tsv, basic_test.tsv of listops") as error:
        unpack(INFO, path, str(tmp_path / "data"))
    assert INFO.archives[0].url in error.value.hint


def test_a_published_checksum_is_compared(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "lra_release.gz")
    wrong = dataclasses.replace(INFO, archives=(dataclasses.replace(INFO.archives[0], sha256="ab" * 32, bytes=5),))
    with pytest.raises(
        DataError, match=f"not the published lra_release.gz: .* and {path.stat().st_size:,} bytes, not 5"
    ):
        unpack(wrong, path, str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    right = dataclasses.replace(INFO, archives=(dataclasses.replace(INFO.archives[0], sha256=digest),))
    unpack(right, path, str(tmp_path / "data"))


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "data/listops-1000").mkdir(parents=True)
    (tmp_path / "data/listops-1000/basic_val.tsv").touch()
    message = r"listops-1000: exists already, and lacks basic_train.tsv, basic_test.tsv of listops"
    with pytest.raises(DataError, match=message) as error:
        unpack(INFO, make_archive(tmp_path / "lra_release.gz"), str(tmp_path / "data"))
    assert error.value.hint == "remove or rename it, then repeat the command"


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from s5.catalog import CATALOG
from s5.data.archive import unpack
shutil.copyfileobj = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
unpack(CATALOG["listops"], Path(sys.argv[1]), sys.argv[2])
"""


def test_a_kill_leaves_no_half_folder_and_the_remnant_goes(tmp_path: Path) -> None:
    path, data = make_archive(tmp_path / "lra_release.gz"), tmp_path / "data"
    killed = subprocess.run([sys.executable, "-c", KILLED, path, data], stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    assert [entry.suffix for entry in data.iterdir()] == [".part"]
    with pytest.raises(catalog.MissingData):
        catalog.find_files("listops", str(data))
    unpack(INFO, path, str(data))
    assert [entry.name for entry in data.iterdir()] == ["listops-1000"]


class Server(http.server.ThreadingHTTPServer):
    """Serves one content, with or without ranges, and can end a connection early."""

    content = b""
    ranges = True
    cut_after: int | None = None
    asked: list[str | None]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            self.server.asked.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
            if start >= len(self.server.content):
                self.send_error(416)
                return
            body = self.server.content[start:]
            self.send_response(206 if asked and self.server.ranges else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: self.server.cut_after])

        def log_message(self, format: str, *args: Any) -> None:
            del format, args


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Server.Handler)
    server.asked, server.content = [], bytes(range(256)) * 4096
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/a.gz"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def digest(server: Any) -> str:
    return hashlib.sha256(server.content).hexdigest()


def test_fetches_once(server: Any, tmp_path: Path) -> None:
    for _ in range(2):
        fetch(server.url, tmp_path / "d/a.gz", sha256=digest(server))
    assert (tmp_path / "d/a.gz").read_bytes() == server.content
    assert server.asked == [None]
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["a.gz"]


@pytest.mark.parametrize("ranges", [True, False])
def test_goes_on_where_the_connection_ended(server: Any, tmp_path: Path, ranges: bool) -> None:
    server.cut_after, server.ranges = 300_000, ranges
    with pytest.raises(DataError, match=r"cannot be fetched: .*300,000 of 1,048,576 bytes"):
        fetch(server.url, tmp_path / "a.gz", sha256=digest(server))
    assert not (tmp_path / "a.gz").exists()
    server.cut_after = None
    fetch(server.url, tmp_path / "a.gz", sha256=digest(server))
    assert server.asked == [None, "bytes=300000-"]
    assert (tmp_path / "a.gz").read_bytes() == server.content


def test_what_was_whole_before_the_kill_is_not_fetched_again(server: Any, tmp_path: Path) -> None:
    (tmp_path / "a.gz.part").write_bytes(server.content)
    fetch(server.url, tmp_path / "a.gz", sha256=digest(server))
    assert (tmp_path / "a.gz").read_bytes() == server.content


def test_another_content_is_refused_and_thrown_away(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file has sha256"):
        fetch(server.url, tmp_path / "a.gz", sha256="ab" * 32)
    assert list(tmp_path.iterdir()) == []


def test_without_network_it_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    path = Path(tmp_path / "a.gz")
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/a.gz: cannot be fetched") as error:
        fetch("http://127.0.0.1:9/a.gz", path, sha256="ab" * 32, size=12345)
    assert error.value.hint == f"fetch it on another machine and put it at {path} (12,345 bytes, sha256 {'ab' * 32})"
