"""`s5.plugins.read_csv`: what it reads, and that its errors name the file, the line and the column."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s5.errors import UserError
from s5.plugins import read_csv

ROWS = [[0.5, -1.0], [2e3, 4.25], [0.0, 7.0]]
TABLE = "0.5,-1\n2e3,4.25\n0,7\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "walk.csv"


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.rstrip("\n"),
        "dx,dy\n" + TABLE,
        "# dx,dy\n" + TABLE,
        "\ufeff" + TABLE,
        "\ufeffdx,dy\n" + TABLE,
        TABLE.replace("\n", "\r\n"),
        "\n" + TABLE.replace("\n", "\n  \n"),
        '"dx","dy"\n' + TABLE.replace("0.5", '"0.5"').replace(",", " , "),
    ],
)
def test_a_table_is_read_with_and_without_names_of_its_columns(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="")
    found = read_csv(file)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, ROWS)


def test_a_line_of_numbers_can_be_a_header_and_a_line_of_text_cannot_be_a_row(file: Path) -> None:
    file.write_text("0,1\n" + TABLE)
    np.testing.assert_array_equal(read_csv(file), [[0, 1], *ROWS])
    np.testing.assert_array_equal(read_csv(str(file), header=True), ROWS)
    file.write_text("dx,dy\n" + TABLE)
    with pytest.raises(UserError, match=r"walk\.csv, line 1, column 1: 'dx' is not a number"):
        read_csv(file, header=False)


@pytest.mark.parametrize(("delimiter", "between"), [(";", ";"), ("\t", "\t"), (None, "   ")])
def test_columns_may_be_separated_otherwise(file: Path, delimiter: str | None, between: str) -> None:
    file.write_text("dx,dy\n".replace(",", between) + TABLE.replace(",", between))
    np.testing.assert_array_equal(read_csv(file, delimiter=delimiter), ROWS)
    with pytest.raises(UserError, match=r"walk\.csv, line 2, column 1: '0\.5.*-1' is not a number") as caught:
        read_csv(file)
    separated = {"\t": "'\\t'"}.get(between, repr(delimiter))
    assert caught.value.hint == f"if columns are separated otherwise, read_csv(…, delimiter={separated})"


def test_one_row_and_one_column_keep_their_axes(file: Path) -> None:
    for text, shape in {"1,2,3\n": (1, 3), "1\n2\n3\n": (3, 1), "x\n1": (1, 1)}.items():
        file.write_text(text)
        assert read_csv(file).shape == shape


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("dx,dy\n1,2\n\n3,four\n", ", line 4, column 2: 'four' is not a number", "missing value"),
        ("1,2\n3,\n", ", line 2, column 2: the cell is empty", "missing value"),
        ("1,2\n3,NA\n", ", line 2, column 2: 'NA' is not a number", "missing value"),
        ("1,2\n1_0,2\n", ", line 2, column 1: '1_0' is not a number", "missing value"),
        (f"1,2\n3,{'x' * 99}\n", f", line 2, column 2: '{'x' * 40}…' is not a number", "missing value"),
        ("NA\n1\n", ", line 1, column 1: 'NA' is not a number", "read_csv(…, header=True)"),
        (",\n1,2\n", ", line 1, column 1: the cell is empty", "missing value"),
        ("dx,2\n1,2\n", ", line 1, column 1: 'dx' is not a number", "read_csv(…, header=True)"),
        ("dx,dy\n1,2\n3\n", ", line 3: 1 column; line 2 has 2", "as many numbers"),
        ("1,2\n3,4\n5,6,7\n", ", line 3: 3 columns; line 1 has 2", "as many numbers"),
        ("", ": no rows of numbers", "remove it"),
        ("dx,dy\n\n", ": no rows of numbers", "remove it"),
        (b"\xff\xfe1\x00", ": not UTF-8: invalid start byte at byte 0", "UTF-8"),
    ],
)
def test_an_error_names_the_file_the_line_and_the_column(file: Path, text: str | bytes, words: str, hint: str) -> None:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_csv(file)
    assert caught.value.message == f"{file}{words}"
    assert caught.value.hint is not None and hint in caught.value.hint


def test_the_launcher_can_import_it_without_numpy() -> None:
    code = "import sys; from s5.plugins import read_csv; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
