"""Runs the notebooks of the documentation from their sources, and keeps what they print.

`python docs/execute_notebooks.py [NAME ...]` makes docs/notebooks/NAME.ipynb from NAME.py, or all of them. A test
compares the cells, and runs them at sizes that take seconds. A source is Python in cells that begin with `# %%`; text
and shell commands are comments in it.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FOLDER = Path(__file__).parent / "notebooks"
PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
SHELL = re.compile(r"^( *)# ([!%])", re.MULTILINE)


def names() -> list[str]:
    """Of all notebooks."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def notebook(name: str, parameters: str | None = None) -> Any:
    """A notebook that was not run yet.

    Args:
        parameters: what its cell of sizes says instead.
    """
    parts = re.split(r"^# %%(.*)\n", (FOLDER / f"{name}.py").read_text(), flags=re.MULTILINE)[1:]
    cells = [_cell(kind, text.strip(), parameters) for kind, text in zip(parts[::2], parts[1::2], strict=True)]
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"
    return new_notebook(cells=cells, metadata={"kernelspec": PYTHON, "language_info": {"name": "python"}})


def _cell(kind: str, text: str, parameters: str | None) -> Any:
    if "[markdown]" in kind:
        return new_markdown_cell(re.sub(r"^# ?", "", text, flags=re.MULTILINE))
    if "parameters" in kind:
        return new_code_cell(parameters or text, metadata={"tags": ["parameters"]})
    return new_code_cell(SHELL.sub(r"\1\2", text))


def executed(made: Any, folder: Path, seconds: int = 3600, **options: Any) -> Any:
    """Runs a notebook in a folder; warnings on standard error are not kept.

    Raises:
        CellExecutionError: a cell failed.
    """
    NotebookClient(made, timeout=seconds, resources={"metadata": {"path": str(folder)}}, **options).execute()
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # times of day
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return made


def main() -> None:
    """Those that are named, or all."""
    for name in sys.argv[1:] or names():
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(notebook(name), Path(folder)), FOLDER / f"{name}.ipynb")
        sys.stdout.write(f"Written to {FOLDER / name}.ipynb\n")


if __name__ == "__main__":
    main()
