"""The output of `launch doctor` about the real runtimes that need no engine."""

from launch.checks.check import Level
from launch.checks.runtimes import check_apptainer, check_charliecloud
from launch.specs.image import Image

LOOKS = {"apptainer": check_apptainer, "charliecloud": check_charliecloud}


def test_a_runtime_that_works_here_starts_an_empty_folder(file_image: tuple[str, Image]) -> None:
    check = LOOKS[file_image[0]]()
    assert check is not None and check.level is Level.OK, check
