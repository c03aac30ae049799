import pytest

from launch.profiles import Profile
from tests.containers.contained import train


@pytest.fixture(scope="session")
def trained_bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, bytes], list[str]]:
    """What a short training leaves without any container: what every runtime is held against."""
    return train(tmp_path_factory.mktemp("train"), Profile(name="here"))
