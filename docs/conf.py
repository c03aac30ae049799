"""How Sphinx builds the documentation: `make docs` writes it to `docs/_build`, and a warning is an error."""

import re
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

project = "s5-launch"
release = version = version_of(project)
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"

# The pages are read on GitHub too: links to sections and formulas follow its spelling.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# The reference is made of the docstrings, which follow Google's style; shapes stand in the annotations.
autodoc_default_options = {"members": True, "member-order": "bysource", "ignore-module-all": True}
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

_DOCS = Path(__file__).parent
_PACKAGES = ("s5", "launch")


def setup(app: Sphinx) -> None:
    """Write the reference's pages, and make links that leave `docs/` lead to the files themselves."""
    _write_reference(_DOCS / "_api")
    app.connect("source-read", _link_to_files)
    app.connect("autodoc-process-signature", _name_arrays)
    app.connect("autodoc-process-docstring", _escape_shapes, priority=900)  # after napoleon, which adds the types


def _link_to_files(app: Sphinx, name: str, source: list[str]) -> None:
    """Have a link to a Markdown file outside of the site lead to the file."""
    del app, name
    source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)\)", r"](path:\1)", source[0])


def _escape_shapes(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Have `*batch` in a shape stand for itself: it begins no emphasis."""
    del app, what, name, item, options
    for number, line in enumerate(lines):
        shapes = r"\*" if line.lstrip().startswith(":vartype") else r"(?<![\w*`\\])\*(?=\w+[\])'\",])"
        line = re.sub(r"\|(?=\w+\|)", r"\|", line)  # an absolute value, not a substitution
        lines[number] = re.sub(shapes, r"\\*", line)


def _name_arrays(
    app: Sphinx, what: str, name: str, item: object, options: object, signature: str | None, answer: str | None
) -> tuple[str | None, str | None]:
    """Name JAX's arrays as users import them, not by the module that defines them."""
    del app, what, name, item, options
    return tuple(text.replace("jaxlib._jax.Array", "Array") if text else text for text in (signature, answer))  # type: ignore[return-value]


def _write_reference(folder: Path) -> None:
    """Write one page for each folder of modules; a module that runs on import has none."""
    folder.mkdir(exist_ok=True)
    pages: dict[str, list[str]] = {}
    for package in _PACKAGES:
        for file in sorted((_DOCS.parent / package).rglob("*.py")):
            module = ".".join(file.relative_to(_DOCS.parent).with_suffix("").parts).removesuffix(".__init__")
            room = (
                ".".join(module.split(".")[:2]) if file.parent.name != package or file.stem == "__init__" else package
            )
            if file.stem != "__main__":
                pages.setdefault(room, []).append(module)
    for stale in folder.glob("*.rst"):
        stale.unlink()
    for room, modules in pages.items():
        parts = [f"{room}\n{'=' * len(room)}"]
        parts += [f"{module}\n{'-' * len(module)}\n\n.. automodule:: {module}" for module in modules]
        (folder / f"{room}.rst").write_text("\n\n".join(parts) + "\n")
