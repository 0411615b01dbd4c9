"""The floors of the house: cli -> adapters -> mpo_core, downwards only."""

import ast
import pathlib
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).parent.parent / "src"
FORBIDDEN = {
    "mpo_core": {
        "adapters",
        "cli",
        "brax",
        "evosax",
        "typer",
        "torch",
        "mujoco",
        "rich",
        "matplotlib",
        "pydantic",
        "yaml",
    },
    "adapters": {"cli", "typer"},
    "cli": set(),
}
BLOCKED = ("brax", "evosax", "typer", "torch", "mujoco", "adapters", "cli")
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


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_imports_run_downwards():
    for floor, forbidden in FORBIDDEN.items():
        for file in (SOURCE / floor).rglob("*.py"):
            wrong = imports(ast.parse(file.read_text())) & forbidden
            assert not wrong, f"{file} imports {wrong}"


def test_the_check_sees_an_import_inside_a_function():
    assert "brax" in imports(ast.parse("def f():\n    from brax import envs"))


def test_core_imports_where_nothing_else_can_be():
    subprocess.run([sys.executable, "-c", IMPORT_ALL.format(blocked=set(BLOCKED))], check=True, timeout=120)


def test_the_blockade_holds():
    code = IMPORT_ALL.format(blocked=set(BLOCKED)) + "\nimport brax"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert outcome.returncode != 0
    assert "forbidden import of brax" in outcome.stderr


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_no_stringified_annotations(floor):
    """They would switch the shape checks of module fields off in silence."""
    for file in (SOURCE / floor).rglob("*.py"):
        assert "__future__" not in imports(ast.parse(file.read_text())), file
