"""Write the tables of docs/import.md: the arrays of each layout, and the parameters that they become.

    python scripts/import_tables.py          # writes the page; what is above the first table is written by hand

A test compares the page with the tables in the code.
"""

from pathlib import Path

from s5.originals.importer import LAYOUTS
from s5.originals.layout import Layout

PAGE = Path(__file__).parents[1] / "docs" / "import.md"
HEADING = (
    "\nA `*` is the number of a layer. Our model stores one array for all layers, with this number as its first axis.\n"
)


def make_tables() -> str:
    """Return the tables of all layouts, in Markdown."""
    return "".join(f"\n### `{name}`\n\n{_table(layout)}" for name, layout in LAYOUTS.items())


def _table(layout: Layout) -> str:
    lines = ["| in the file | in our model | conversion |", "|---|---|---|"]
    lines += [f"| {_names(row.theirs)} | {_names(row.ours)} | {row.does} |" for row in layout.table]
    unused = f"\nNot needed: {_names(layout.unused)}.\n" if layout.unused else ""
    return "\n".join(lines) + f"\n{unused}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    by_hand = PAGE.read_text().partition(HEADING)[0]
    PAGE.write_text(by_hand + HEADING + make_tables())
