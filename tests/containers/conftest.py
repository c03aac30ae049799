import pytest

from launch.profiles import Profile
from tests.containers.contained import Trained, train


@pytest.fixture(scope="session")
def trained_bare(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What a short training leaves without container and interruption: what every runtime is held against."""
    return train(tmp_path_factory.mktemp("train"), Profile(name="here"), interrupt=False)
