"""docker/images.yaml: its valid and invalid contents, and what an image's identity depends on."""

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from launch.containers.images.catalog import check_reference, content_hash, find_image, load_images, recipe_hash, tag
from launch.errors import LaunchError

PINNED = f"python@sha256:{'ab' * 32}"
GOOD = "images: {a: {base: python, lock: a.txt, platform: cpu}}"


def write(folder: Path, text: str) -> Path:
    path = folder / "images.yaml"
    path.write_text(dedent(text))
    return path


def test_the_images_of_the_repository_can_be_built() -> None:
    images = load_images()
    assert list(images) == ["cpu", "cuda12", "cuda13"]
    assert [image.min_driver for image in images.values()] == [None, 525, 580]
    assert len({content_hash(image) for image in images.values()}) == 3
    assert tag(images["cpu"]) == f"s5-launch/cpu:{content_hash(images['cpu'])[:12]}"


@pytest.mark.parametrize("name", ["cuda12", "cuda13"])
def test_every_image_computes_with_the_same_versions(name: str) -> None:
    """What an accelerator needs comes on top: results of different images can be compared."""

    def pins(lock: Path) -> set[str]:
        return {line.split()[0] for line in lock.read_text().splitlines() if "==" in line and line[0].isalnum()}

    images = load_images()
    more = pins(images[name].lock) - pins(images["cpu"].lock)
    assert pins(images["cpu"].lock) < pins(images[name].lock)
    assert {pin.split("-")[0] for pin in more} == {"nvidia", "jax"}


@pytest.mark.parametrize("name", ["cpu", "cuda12", "cuda13"])
def test_a_lock_holds_wheels_for_both_architectures(name: str) -> None:
    """jaxlib's wheels carry the machine in their hashes alone; uv locked one for each, and says so by their number."""
    text = find_image(name).lock.read_text()
    jaxlib = text[text.index("\njaxlib==") :].split("\n    # via")[0]
    assert jaxlib.count("--hash") > 4


@pytest.mark.parametrize("name", ["cpu", "cuda12", "cuda13"])
def test_the_build_takes_away_nothing_that_a_lock_holds(name: str) -> None:
    lines = find_image(name).lock.read_text().splitlines()
    assert not [line for line in lines if line.startswith(("pip==", "setuptools=="))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("images: {}\nimage: {}", "image: unknown key; did you mean images?"),
        ("images: [a]", "images: a list is not a mapping"),
        ("images: {A b: {}}", "images.A b: cannot be the name of an image"),
        (GOOD.replace("lock:", "lokc:"), "images.a.lokc: unknown key; did you mean lock?"),
        (GOOD.replace("lock: a.txt, ", ""), "images.a.lock: missing"),
        (GOOD.replace("python", "--privileged"), "images.a.base: '--privileged' cannot be the name of an image"),
        (GOOD.replace("python", "python@sha256:abc"), "images.a.base: 'python@sha256:abc' cannot be the name"),
        (GOOD.replace("python", "3"), "images.a.base: 3 is not text"),
        (GOOD.replace("cpu}", "cuda}"), "images.a.min_driver: nothing is not the number of a driver"),
        (GOOD.replace("cpu}", "cpu, min_driver: 525}"), "images.a.min_driver: an image for the CPU needs no driver"),
        (GOOD.replace("cpu}", "gpu}"), "images.a.platform: unknown value 'gpu'; did you mean cpu?"),
        (GOOD.replace("cpu}", "cpu, architectures: [x86]}"), "images.a.architectures[0]: unknown value 'x86'"),
        (GOOD.replace("cpu}", "cpu, architectures: []}"), "images.a.architectures: at least one is needed"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(LaunchError) as caught:
        load_images(path)
    assert says in caught.value.message
    assert caught.value.message.startswith(str(path))


def test_a_site_has_images_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCH_IMAGES", str(write(tmp_path, GOOD)))
    assert find_image("a").lock == tmp_path / "a.txt"
    with pytest.raises(LaunchError, match="there is no image 'cpu'"):
        find_image("cpu")


def test_an_unknown_image_gets_the_nearest() -> None:
    with pytest.raises(LaunchError, match="there is no image 'cuda_12'; did you mean cuda12\\?") as caught:
        find_image("cuda_12")
    assert caught.value.hint == "the images are cpu, cuda12, cuda13"


def test_the_identity_follows_what_an_image_is_made_of(tmp_path: Path) -> None:
    spec = find_image("cpu")
    other = tmp_path / "cpu.txt"
    other.write_bytes(spec.lock.read_bytes())
    assert content_hash(replace(spec, name="b", lock=other)) == content_hash(spec)
    other.write_bytes(spec.lock.read_bytes() + b"\n")
    assert recipe_hash(replace(spec, lock=other)) != recipe_hash(spec)
    assert recipe_hash(replace(spec, base=PINNED)) == recipe_hash(spec)
    assert content_hash(replace(spec, base=PINNED)) != content_hash(spec)
    mirrored = replace(spec, base=f"mirror.example.org/{PINNED}")
    assert content_hash(mirrored) == content_hash(replace(spec, base=PINNED))


def test_a_lock_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"cuda9\.txt: cannot be read: No such file"):
        content_hash(replace(find_image("cpu"), lock=tmp_path / "cuda9.txt"))


@pytest.mark.parametrize("word", ["-v", "a b", "", "a@sha256:12", "a;b"])
def test_what_is_no_name_of_an_image_reaches_no_command_line(word: str) -> None:
    with pytest.raises(LaunchError, match="cannot be the name of an image"):
        check_reference(word)
