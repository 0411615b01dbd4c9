"""The texts of an experiment: a file of lines or a data set, cleaned and cut in parts that nothing shares."""

import dataclasses
import hashlib

import numpy as np

from adapters.torch.preference_text import load_text
from mpo_experiments.align.preference_rows import shown_rows

FEWEST_TEXTS = 100
SHARES = {"lessons": 0.6, "reader": 0.2, "prompts": 0.1, "fresh": 0.1}
"""Of the texts: what the original learns from, and the reader; whose first words are prompts of training pairs, and
prompts that trained models are judged by."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Texts, each as its prompt and how it goes on, with the space between them."""

    parts: dict[str, tuple[tuple[str, str], ...]]
    sha256: str

    def prompts(self, part: str) -> list[str]:
        """The prompts of a part, each once, without those that a part before it has too."""
        earlier = list(self.parts)[: list(self.parts).index(part)]
        seen = {prompt for name in earlier for prompt, _ in self.parts[name]}
        return [prompt for prompt in dict.fromkeys(prompt for prompt, _ in self.parts[part]) if prompt not in seen]


def read_corpus(source: str, column: str, *, prompt_words: int, seed: int) -> Corpus:
    """Reads texts, leaves out those that are there twice or no longer than a prompt, and cuts them in parts.

    Args:
        source: a file with a text a line (.txt), with columns (.tsv, .csv, .json, .jsonl, .parquet), a folder that
            `datasets` saved, or a hub id.
        column: where the texts stand, where there are columns.
        seed: of the cut.

    Raises:
        ValueError: one sentence: it cannot be read, has no such column, or too few texts.
    """
    texts = dict.fromkeys(" ".join(text.split()) for text in _texts(source, column))
    split = [pair for text in texts if (pair := _split(text, prompt_words)) is not None]
    if len(split) < FEWEST_TEXTS:
        raise ValueError(
            f"corpus {source}: has {len(split)} texts of more than {prompt_words} words; at least {FEWEST_TEXTS} are "
            "needed"
        )
    order = np.random.default_rng(seed).permutation(len(split))
    ends = np.round(np.cumsum([*SHARES.values()]) * len(split)).astype(int)
    parts = {
        name: tuple(split[place] for place in places)
        for name, places in zip(SHARES, np.split(order, ends[:-1]), strict=True)
    }
    digest = hashlib.sha256("\n".join(prompt + rest for prompt, rest in split).encode()).hexdigest()
    return Corpus(parts, digest)


def _texts(source: str, column: str) -> list[str]:
    rows = load_text(source, "train", "corpus")
    if column not in rows.columns:
        raise ValueError(
            f"{rows.where}: has no column {column!r} (it has {', '.join(map(str, rows.columns)) or 'none'})"
        )
    cells = [row.get(column) for row in rows]
    wrong = [number for number, cell in enumerate(cells, 1) if cell is not None and not isinstance(cell, str)]
    if wrong:
        raise ValueError(f"{rows.where}: column {column!r} holds what is no text (rows {shown_rows(wrong)})")
    return [cell for cell in cells if cell]


def _split(text: str, words: int) -> tuple[str, str] | None:
    """The first words, and the rest with the space before it; None where there is no rest."""
    found = text.split(" ")
    return None if len(found) <= words else (" ".join(found[:words]), " " + " ".join(found[words:]))
