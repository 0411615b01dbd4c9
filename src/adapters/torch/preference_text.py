"""Rows of text data from local files, saved folders and the hub, and pairs of tokens as a data set."""

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import Dataset, DatasetDict

KINDS = (".json", ".jsonl", ".parquet", ".csv", ".tsv", ".txt")
TEXT = "text"
"""The one column of a file of lines."""
LARGEST_CELL = 2**31 - 1
TrainingData = Dataset
"""Columns as a trainer reads them: text or tokens."""


@dataclasses.dataclass(frozen=True)
class TextRows:
    """Rows as they stand in a file or on the hub."""

    where: str
    """How a message names them."""
    columns: tuple[str, ...]
    rows: Any
    """A list of objects, or a `datasets.Dataset`."""

    def first(self, count: int | None) -> "TextRows":
        """Only so many, from the first."""
        if count is None or count >= len(self.rows):
            return self
        rows = self.rows[:count] if isinstance(self.rows, list) else self.rows.select(range(count))
        return dataclasses.replace(self, rows=rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)


def load_text(source: str, split: str, what: str = "dataset") -> TextRows:
    """Rows of a file (json, jsonl, parquet, csv, tsv, txt), of a folder that `datasets` saved, or of a hub id.

    Cells of a csv or tsv file are text, and None where they are empty. A txt file has a text a line, in column `text`.

    Args:
        split: of a hub data set, or of a folder that has several.
        what: how a message names it.

    Raises:
        ValueError: one sentence: it is missing, unreadable, empty, or has no such split.
    """
    path, where = Path(source), f"{what} {source}"
    kind = path.suffix.lower()
    if kind in KINDS and not path.is_dir():
        rows = _local(where, lambda: _read_file(path, kind))
    elif path.is_dir():
        rows = _local(where, lambda: _read_folder(path, split))
    elif source.count("/") > 1 or source.startswith((".", "~")) or path.is_file():
        raise ValueError(f"{where}: there is no such folder or file of the kinds {', '.join(KINDS)}")
    else:
        rows = _hub(where, source, split)
    if not isinstance(rows, list | Dataset) or not len(rows):
        raise ValueError(f"{where}: holds no rows")
    if isinstance(rows, Dataset):
        return TextRows(where, tuple(rows.column_names), rows)
    return TextRows(where, tuple(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row)), rows)


def token_dataset(columns: dict[str, list[Any]]) -> TrainingData:
    """A data set of columns; lists of whole numbers become arrays of four bytes each."""
    return Dataset.from_dict(
        {
            name: [np.asarray(one, np.int32) for one in column] if isinstance(column[0], list) else column
            for name, column in columns.items()
        }
    )


def _read_file(path: Path, kind: str) -> Any:
    if not path.exists():
        raise ValueError("there is no such file")
    if not path.is_file():
        raise ValueError("it is no regular file")
    if kind == ".parquet":
        return datasets.load_dataset("parquet", data_files=str(path), split="train")
    try:
        return READERS[kind](path)
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None


def _read_csv(path: Path) -> list[dict[str, Any]]:
    return _read_columns(path, strict=True)


def _read_tsv(path: Path) -> list[dict[str, Any]]:
    """Quotation marks are text like any other."""
    return _read_columns(path, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        return [{TEXT: line.rstrip("\n")} for line in file]


def _read_columns(path: Path, **form: Any) -> list[dict[str, Any]]:
    csv.field_size_limit(LARGEST_CELL)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, **form)
        rows: list[dict[str, Any]] = []
        try:
            for row in reader:
                if None in row:
                    raise ValueError(f"line {reader.line_num} has more cells than the first line has names")
                rows.append({name: value or None for name, value in row.items()})
        except csv.Error as error:
            raise ValueError(
                f"line {reader.reader.line_num} is no line of a {path.suffix[1:].lower()} file ({error})"
            ) from None
    return rows


def _read_json(path: Path) -> list[Any]:
    """A list of rows, or a row a line."""
    with path.open(encoding="utf-8-sig") as file:
        head = file.read(1024).lstrip()[:1]
        file.seek(0)
        if head == "[":
            return _parsed(file.read(), "the file")
        lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
    try:
        return [_parsed(line, f"line {number}") for number, line in lines]
    except ValueError:
        if head != "{":
            raise
        whole = "".join(line for _, line in lines)
        if len(lines) > 1 and not lines[0][1].rstrip().endswith("}"):  # one row over several lines
            return [_parsed(whole, "the file")]
        raise


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text.rstrip())  # else the end of a line that was cut off would be column 1 of the next
    except json.JSONDecodeError as error:
        why = error.msg.lower().removesuffix(" at").removesuffix(" starting")
        raise ValueError(f"{what} is not JSON ({why}, column {error.colno})") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{what} is not JSON that can be read (a number too long, or nested too deeply)") from None


READERS: dict[str, Callable[[Path], list[Any]]] = {
    ".csv": _read_csv, ".tsv": _read_tsv, ".txt": _read_lines, ".json": _read_json, ".jsonl": _read_json,
}  # fmt: skip


def _read_folder(path: Path, split: str) -> Any:
    saved = (path / "state.json").exists() or (path / "dataset_dict.json").exists()
    rows = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path), split=split)
    if not isinstance(rows, DatasetDict):
        return rows
    if split not in rows:
        raise ValueError(f"it has no split {split!r}, only {', '.join(map(str, rows))}")
    return rows[split]


def _local(where: str, read: Callable[[], Any]) -> Any:
    """What a reader gives; what it raises, of many kinds, as one sentence on that file or folder."""
    try:
        return read()
    except Exception as error:
        raise ValueError(f"{where}: cannot be read: {_said(error)}") from None


def _hub(where: str, source: str, split: str) -> Any:
    try:
        return datasets.load_dataset(source, split=split)
    except Exception as error:
        said = _said(error)
        known = "split" in said.lower() and split in said
        hint = "" if known else " (a local path, or the id of a data set on the hub; is this machine offline?)"
        raise ValueError(f"{where}: cannot be read from the hub: {said}{hint}") from None


def _said(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error.__cause__ or error)
    return " ".join(text.split()).rstrip(".")[:300] or type(error).__name__
