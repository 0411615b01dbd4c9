"""Preference pairs in text: local files, saved folders and hub data sets, in the columns that TRL reads."""

from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, DatasetDict
from trl.data_utils import extract_prompt

READERS = {".json": "json", ".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}
COLUMNS = ("prompt", "chosen", "rejected", "margin")


def load_text(source: str, split: str) -> Dataset:
    """Rows of a file (json, jsonl, parquet, csv), of a folder that `datasets` saved, or of a hub id.

    Args:
        split: of a hub data set, or of a folder that has several.

    Raises:
        ValueError: one sentence: it is missing, unreadable, empty, or has no such split.
    """
    path = Path(source)
    if path.suffix in READERS and not path.is_dir():
        rows = _tried(source, lambda: _read_file(path))
    elif path.is_dir():
        rows = _tried(source, lambda: _read_folder(path, split))
    elif source.count("/") > 1 or source.startswith((".", "~")) or path.is_file():
        kinds = ", ".join(READERS)
        raise ValueError(f"dataset {source}: there is no such folder or file of the kinds {kinds}")
    else:
        rows = _tried(source, lambda: datasets.load_dataset(source, split=split))
    if not isinstance(rows, Dataset) or not len(rows):
        raise ValueError(f"dataset {source}: holds no rows")
    return rows


def load_pairs(source: str, split: str) -> Dataset:
    """Preference pairs: columns `prompt`, `chosen`, `rejected` and, if there is one, `margin`.

    All three are text, or all are lists of messages. Conversations that hold their prompt are split where chosen and
    rejected part; a prompt in text before messages becomes a message of the user.

    Raises:
        ValueError: one sentence, as for `load_text`, or which column or row is not as it must be.
    """
    rows, where = load_text(source, split), f"dataset {source}"
    missing = [name for name in ("chosen", "rejected") if name not in rows.column_names]
    if missing:
        raise ValueError(
            f"{where}: has no column {' or '.join(map(repr, missing))} (it has {', '.join(rows.column_names)}); "
            "preference data has prompt, chosen and rejected"
        )
    rows = rows.select_columns([name for name in COLUMNS if name in rows.column_names])
    for number, row in enumerate(rows):
        _check_row(where, number, row)
    talk = isinstance(rows[0]["chosen"], list)
    shape = _split_talk if talk else _split_text
    return rows.map(shape, desc="Reading pairs")


def load_prompts(source: str, split: str) -> list[Any]:
    """Prompts to answer: the column `prompt`, or `instruction` as in AlpacaEval, or those of preference pairs.

    Raises:
        ValueError: one sentence, as for `load_text`, or that there is no such column.
    """
    rows = load_text(source, split)
    for name in ("prompt", "instruction"):
        if name in rows.column_names and "chosen" not in rows.column_names:
            return list(rows[name])
    if "chosen" not in rows.column_names:
        raise ValueError(
            f"dataset {source}: has no column 'prompt' or 'instruction' (it has {', '.join(rows.column_names)})"
        )
    return list(load_pairs(source, split)["prompt"])


def is_talk(value: Any) -> bool:
    """Whether a prompt or response is a list of messages."""
    return isinstance(value, list)


def plain(value: Any) -> str:
    """A prompt or response as text for a person or judge: of messages, the contents."""
    return "\n".join(message["content"] for message in value) if is_talk(value) else value


def _read_file(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError("there is no such file")
    return datasets.load_dataset(READERS[path.suffix], data_files=str(path), split="train")


def _read_folder(path: Path, split: str) -> Any:
    saved = (path / "state.json").exists() or (path / "dataset_dict.json").exists()
    rows = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path), split=split)
    if not isinstance(rows, DatasetDict):
        return rows
    if split not in rows:
        raise ValueError(f"Unknown split {split!r}. Should be one of {list(rows)}.")
    return rows[split]


def _tried(source: str, read: Any) -> Any:
    """What a reader of `datasets` gives; what it raises, of many kinds, as one sentence."""
    try:
        return read()
    except Exception as error:
        said = " ".join(str(error.__cause__ or error).split()).rstrip(".")
        known = " (a local path, or the id of a data set on the hub; is this machine offline?)"
        hint = known if "/" not in said or "hub" in said.lower() or "connect" in said.lower() else ""
        raise ValueError(f"dataset {source}: cannot be read: {said[:300]}{hint}") from None


def _check_row(where: str, number: int, row: Any) -> None:
    kinds = {type(row[name]) for name in ("chosen", "rejected")}
    if kinds not in ({str}, {list}) or not all(row[name] for name in ("chosen", "rejected")):
        raise ValueError(
            f"{where}: row {number} needs chosen and rejected as two texts or two lists of messages, none of them empty"
        )
    if kinds == {list} and not all(
        isinstance(one, dict) and {"role", "content"} <= one.keys()
        for name in ("chosen", "rejected")
        for one in row[name]
    ):
        raise ValueError(f"{where}: row {number} has messages without 'role' and 'content'")
    if kinds == {str} and not isinstance(row.get("prompt", ""), str):
        raise ValueError(f"{where}: row {number} has messages as prompt and text as chosen: give both in one form")


def _split_talk(row: Any) -> dict[str, Any]:
    """The columns of a conversation that change."""
    prompt, sides = row.get("prompt"), _sides(row)
    if isinstance(prompt, list):
        return {}
    if sides["chosen"][0]["role"] != "assistant":  # the conversations hold the prompt
        return extract_prompt(sides)
    return {"prompt": [{"role": "user", "content": prompt or ""}]}


def _split_text(row: Any) -> dict[str, Any]:
    """The columns of a text that change."""
    return {} if row.get("prompt") is not None else extract_prompt(_sides(row))


def _sides(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in ("chosen", "rejected")}
