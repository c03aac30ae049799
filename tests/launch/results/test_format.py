"""The texts of numbers in tables."""

import math

import pytest

from launch.results.format import mean_texts
from launch.results.table import ResultRow


def row(mean: float | None, std: float | None = None, metric: str = "test/mse") -> ResultRow:
    return ResultRow(experiment="x", settings={}, seeds=[0], metric=metric, mean=mean, std=std)


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        ([row(1.69, 0.1534)], ["1.69 ± 0.15"]),
        ([row(1.69, 0.1534), row(12.3), row(None), None], ["1.69 ± 0.15", "12.30 ±    —", "—", "—"]),
        ([row(1.69, 0.1534), row(1.7, 0.0012)], ["1.690 ± 0.153", "1.700 ± 0.001"]),
        ([row(1.69, 0.00123)], ["1.6900 ± 0.0012"]),
        ([row(1234.5, 56.7)], ["1234 ± 57"]),
        ([row(0.25), row(0.0)], ["0.2500 ± —", "0.0000 ± —"]),
        ([row(3e-9, 1e-10), row(2.5e7)], ["3e-09 ± 1e-10", "2.5e+07 ±     —"]),
        ([row(3e-9, 1e-10)], ["3e-09 ± 1e-10"]),
        ([row(math.inf)], ["inf ± —"]),
        ([row(0.955, 0.0141, "val/accuracy"), row(0.9, 0.2, "val/accuracy")], ["95.50 ±  1.41", "90.00 ± 20.00"]),
    ],
)
def test_a_mean_and_its_deviation_have_the_same_decimals(rows: list[ResultRow | None], texts: list[str]) -> None:
    assert mean_texts(rows) == texts
