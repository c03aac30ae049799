"""The rules of the repository: allowed imports, forbidden contents of files, and references in documents."""

import ast
import graphlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[1]
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    if name and (ROOT / name).is_file()
]
SOURCES = [path for path in TRACKED if path.suffix == ".py"]
DOCUMENTS = [path for path in TRACKED if path.suffix == ".md"]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def _lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=root, capture_output=True, text=True, env=environment, check=False
    )


def test_import_contracts_hold() -> None:
    answer = _lint_imports(ROOT)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("launch/errors.py", "import launch.cli"),
        ("launch/supervise/supervisor.py", "import yaml"),
        ("launch/sweepfile/sweep.py", "import s5.training.loop"),
        ("launch/results/table.py", "import jax"),
        ("s5/run_dir/result.py", "import launch.errors"),
        ("s5/data/batch.py", "import s5.models.sequence_model"),
        ("s5/ssm/scan.py", "import torch"),
        ("s5/ssm/scan.py", "import s5.training.loop"),
    ],
)
def test_import_contracts_can_fail(tmp_path: Path, module: str, line: str) -> None:
    for package in ("launch", "s5"):
        for source in (path for path in SOURCES if path.is_relative_to(ROOT / package)):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    answer = _lint_imports(tmp_path)
    assert answer.returncode != 0
    assert "BROKEN" in answer.stdout


def _modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(answer.stdout.split())


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import launch.cli, launch.actions.submit, launch.results.table", {"jax", "flax", "optax", "hydra"}),
        ("import launch.supervise.supervisor", {"jax", "yaml", "omegaconf", "hydra", "rich", "submitit", "argparse"}),
        ("import s5.config.run, s5.run_dir.result, s5.catalog", {"jax", "flax", "numpy", "launch", "omegaconf"}),
        ("import s5.training.loop, s5.training.stored_run", {"launch", "torch", "wandb", "sklearn"}),
    ],
    ids=["launcher", "supervisor", "light packages of s5", "training"],
)
def test_import_stays_light(statement: str, never: set[str]) -> None:
    assert not _modules_after(statement) & never


def test_import_stays_light_can_fail() -> None:
    assert "yaml" in _modules_after("import yaml")


def _cycle(imports: dict[str, set[str]]) -> list[str]:
    """Return the modules of one cycle of imports; empty if there is no cycle."""
    try:
        tuple(graphlib.TopologicalSorter(imports).static_order())
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_goes_in_circles() -> None:
    graph = grimp.build_graph("launch", "s5", cache_dir=None)
    assert not _cycle({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


LONGEST_FILE, LONGEST_FUNCTION = 350, 56


def _too_long(path: Path) -> list[str]:
    text, name = path.read_text(), path.relative_to(ROOT)
    lines = len(text.splitlines())
    found = [f"{name}: {lines} lines"] if lines > LONGEST_FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            found += [f"{name}: {node.name}: {length} lines"] if length > LONGEST_FUNCTION else []
    return found


# What was longer before there was this test; a name may only go.
LONGER = {"launch/actions/retry.py", "launch/actions/submit.py", "tests/launch/cli/test_cli.py"}


def test_nothing_is_too_long() -> None:
    found = [line for path in SOURCES for line in _too_long(path)]
    assert not [line for line in found if line.partition(":")[0] not in LONGER]


def test_every_commit_is_checked_as_make_check_does() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    checks = {Path(line.split()[0]).name for line in recipe.replace("$(BIN)/", "").splitlines()[1:]}
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = {Path(hook["entry"].split()[0]).name for repository in hooks for hook in repository["hooks"]}
    assert {repository["repo"] for repository in hooks} == {"local"}
    assert entries == {check.replace("$(MAKE)", "make") for check in checks}


def test_the_version_stands_in_one_place() -> None:
    version = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert len(version) == 1
    assert not [path for path in SOURCES if re.search(rf"""["']{re.escape(version[0])}["']""", path.read_text())]


def test_no_catch_all_module() -> None:
    assert not [path for path in SOURCES if path.stem in {"utils", "helpers", "misc", "common"}]


def test_only_the_console_prints() -> None:
    printing = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.is_relative_to(ROOT / "launch") and path != ROOT / "launch/cli/console.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


def test_no_address_of_a_package_index() -> None:
    addresses = r"(?:index-url|find-links)\W{1,3}(?!\S+\bexample\b)\w+://|pypi\.org/simple|files\.pythonhosted\.org"
    pattern = re.compile(addresses, re.IGNORECASE)
    allowed = {Path(__file__).resolve()}
    named = [path for path in TRACKED if path not in allowed and pattern.search(path.read_text(errors="ignore"))]
    assert not named
    assert not (ROOT / "uv.lock").exists() or ROOT / "uv.lock" not in TRACKED


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_resolve(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_in_documents_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`|^ {4}make ([a-z-]+)(?![a-z./-])", document.read_text(), re.MULTILINE))
    assert {first or second for first, second in named} <= targets


ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()


def test_words_of_the_table_are_classes_of_that_name() -> None:
    table = ARCHITECTURE.partition("## Words")[2].partition("##")[0]
    names = re.findall(r"`((?:launch|s5)\.[\w.]+)`", table)
    assert len(names) > 15
    for name in names:
        module, _, word = name.rpartition(".")
        path = ROOT / f"{module.replace('.', '/')}.py"
        assert word in {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}, name


def test_folders_and_files_named_in_documents_exist() -> None:
    missing = {
        f"{document.name}: {name}"
        for document in DOCUMENTS
        for name in re.findall(r"`((?:launch|s5)/[\w/]+(?:/|\.py))`", document.read_text())
        if not (ROOT / name).exists()
    }
    assert not missing


def test_floors_are_drawn_as_they_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {
        c["containers"][0]: " > ".join(c["layers"]) for c in contracts if c.get("containers") in (["launch"], ["s5"])
    }
    drawn = " ".join(ARCHITECTURE.partition("## Floors")[2].split())
    for package, floors in layers.items():
        assert f"{package} {floors}" in drawn
