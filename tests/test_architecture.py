"""The floors of the code (cli, mpo_experiments, adapters, mpo_core: imports run downwards, no circles), and sizes."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
FLOORS = ("cli", "mpo_experiments", "adapters", "mpo_core")
MOST_FILES, MOST_LINES, LONGEST_FUNCTION, MOST_PARAMETERS = 20, 300, 60, 7
BLOCKED = ("brax", "evosax", "typer", "torch", "mujoco", "adapters", "mpo_experiments", "cli")
IMPORT_ALL = """
import importlib, pkgutil, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("forbidden import of " + name)
sys.meta_path.insert(0, Refuse())
import mpo_core
for module in pkgutil.walk_packages(mpo_core.__path__, "mpo_core."):
    importlib.import_module(module.name)
for name in mpo_core.__all__:
    getattr(mpo_core, name)
"""


def lint(folder):
    """What lint-imports says of a copy of the source, with the contracts of pyproject.toml."""
    pytest.importorskip("importlinter", reason="part of the extra dev")
    code = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("bundled", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_run_downwards_and_in_no_circle(checkout):
    found = lint(checkout)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("mpo_core/names.py", "import adapters.storage.files", "Imports run downwards"),
        ("adapters/storage/files.py", "def late():\n    import mpo_experiments.testbed", "Imports run downwards"),
        ("mpo_core/names.py", "import mpo_core.losses.ids", "No circle"),
        ("adapters/processes/signals.py", "import adapters.storage.files", "No circle"),
        ("mpo_core/seeds.py", "import brax", "The core is pure JAX"),
        ("mpo_experiments/testbed.py", "import typer", "Only the command line knows Typer"),
        ("mpo_experiments/align/trainer.py", "def late():\n    import torch", "torch and what trains with it"),
        ("mpo_experiments/show/report.py", "from matplotlib.figure import Figure", "Matplotlib and Pillow are known"),
    ],
)
def test_a_planted_import_is_found(checkout, file, line, contract):
    with (checkout / "src" / file).open("a") as source:
        source.write(f"\n{line}\n")
    found = lint(checkout)
    assert found.returncode != 0
    broken = [text for text in found.stdout.splitlines() if text.endswith("BROKEN")]
    assert any(text.startswith(contract) for text in broken), found.stdout


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("floor", FLOORS)
def test_rooms_are_small(floor):
    for folder in [SOURCE / floor, *(path for path in (SOURCE / floor).rglob("*") if path.is_dir())]:
        count = len(list(folder.glob("*.py")))
        assert count <= MOST_FILES or folder.name == "cli", f"{folder} holds {count} files"
    for file in (SOURCE / floor).rglob("*.py"):
        text = file.read_text()
        assert text.count("\n") <= MOST_LINES, f"{file} has {text.count(chr(10))} lines"
        for function in functions(ast.parse(text)):
            length = function.end_lineno - function.lineno + 1
            assert length <= LONGEST_FUNCTION or floor == "cli", f"{file}: {function.name} has {length} lines"
            given = function.args
            names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            assert count <= MOST_PARAMETERS or floor == "cli", f"{file}: {function.name} has {count} parameters"


def test_core_imports_where_nothing_else_can_be():
    subprocess.run([sys.executable, "-c", IMPORT_ALL.format(blocked=set(BLOCKED))], check=True, timeout=120)


def test_the_blockade_holds():
    code = IMPORT_ALL.format(blocked=set(BLOCKED)) + "\nimport brax"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert outcome.returncode != 0
    assert "forbidden import of brax" in outcome.stderr


@pytest.mark.parametrize("floor", FLOORS)
def test_no_stringified_annotations(floor):
    """They would switch the shape checks of module fields off in silence."""
    for file in (SOURCE / floor).rglob("*.py"):
        names = {n.module for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom)}
        assert "__future__" not in names, file


PATHS = re.compile(r"\b(?:src/)?((?:mpo_core|mpo_experiments|adapters|cli|tests|benchmarks|docs)/[\w/-]+\.(?:py|md))\b")


def test_files_that_source_and_docs_name_are_there():
    """CHANGELOG.md tells of files as they were."""
    told = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *SOURCE.rglob("*.py")]
    named = {(file, found) for file in told for found in PATHS.findall(file.read_text())}
    assert len(named) > 50
    gone = [(str(file.relative_to(ROOT)), path) for file, path in named if not any_of(path)]
    assert not gone


def any_of(path):
    return (ROOT / path).is_file() or (SOURCE / path).is_file()
