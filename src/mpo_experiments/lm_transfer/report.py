"""Writes what a transfer experiment found: Markdown, LaTeX, CSV, JSON and a figure, as of a benchmark."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.storage.files import read_json
from mpo_experiments.benchmark.cell import BenchmarkCell
from mpo_experiments.benchmark.difference_tables import differences_table
from mpo_experiments.benchmark.figures import draw_ranking
from mpo_experiments.benchmark.report import write_results
from mpo_experiments.benchmark.summary import BASELINE, Standing, standings
from mpo_experiments.benchmark.tables import overview_table, ranges_table, scores_table
from mpo_experiments.lm_transfer.run import TransferCell
from mpo_experiments.lm_transfer.settings import LEARNING_RATE, TransferSettings, WorldCard
from mpo_experiments.lm_transfer.tables import agreement_table, difference, transfer_table
from mpo_experiments.text_table import TextTable

PROTOCOL = (
    "A language model (*original*) learned to go on from the first words of the texts of a corpus; another (*target*) "
    "learned further from the best of many texts of the original's. The reward is a program "
    "(`mpo_experiments/lm_transfer/worth.py`): sentiment by the lexicon of vaderSentiment, less repetition, less a "
    "price of what a held-out language model (*reader*) finds unlikely. Score: mean reward of texts for prompts that "
    "no training saw, original 0, target 1. Every objective had the same number of settings, learning rate "
    "included, on the tuning stream of seeds; a range whose outer tenth held the winner was extended, four times at "
    "most; the best was then run on the reporting stream. All objectives share units; a unit has its own pairs, "
    "label noise, training seed and evaluation seed; the models are the same in all. See docs/protocol.md."
)


def write_transfer(
    folder: Path, cells: Sequence[TransferCell], settings: TransferSettings, world: WorldCard, suite: Path | None = None
) -> list[Path]:
    """All tables and the figure.

    Args:
        suite: `summary.json` of a benchmark, with whose order of objectives this one is compared.

    Returns:
        The files, the table for people first.
    """
    plain = [one.cell for one in cells]
    ranked = {cell.key: standings([cell]) for cell in plain}
    tables = [overview_table([cell.key for cell in plain], plain, ranked)] if len(plain) > 1 else []
    tables += [transfer_table(one, ranked[one.cell.key], world) for one in cells]
    tables += [found for cell in plain if (found := differences_table(cell)) is not None]
    tables += [ranges_table(cell) for cell in plain]
    if suite is not None:
        tables.append(agreement_table(plain, read_json(suite, "benchmark summary"), str(suite)))
    figure = folder / "ranking.png"
    draw_ranking(figure, plain, ranked)
    markdown, summary = _markdown(plain, tables, settings, world), _summary(cells, settings, world)
    return [*write_results(folder, markdown, tables, scores_table(plain), summary), figure]


def _markdown(cells: list[BenchmarkCell], tables: list[TextTable], settings: TransferSettings, world: WorldCard) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in world.versions.items())
    sizes, (own, wanted), parts = settings.sizes, world.token_log_probs, world.parts
    lines = [
        "# Transfer to language models",
        PROTOCOL,
        f"{world.parameters:,} weights ({sizes.layers} layers of {sizes.hidden}, {sizes.vocabulary} tokens); corpus of "
        f"{sum(parts.values()):,} texts ({', '.join(f'{count:,} {name}' for name, count in parts.items())}); texts of "
        f"at most {sizes.longest} tokens; {sizes.rows} pairs a unit, {sizes.epochs} epochs, minibatch "
        f"{sizes.minibatch}, constant learning rate, searched from {LEARNING_RATE:g}; {settings.budget} settings an "
        f"objective on {settings.tuning_units} tuning units; {settings.units} reporting units of {sizes.samples} "
        f"texts; seed {settings.seed}. {versions}.",
        f"Mean log-prob of a token under the original, in nats: its own texts {own:.3f}, the target's {wanted:.3f}.",
        f"Again: `{settings.command(tuple(cell.data for cell in cells))}`",
        "![ranking](ranking.png)",
        *(table.markdown() for table in tables),
    ]
    return "\n\n".join(line.strip() for line in lines) + "\n"


def _summary(cells: Sequence[TransferCell], settings: TransferSettings, world: WorldCard) -> dict[str, Any]:
    plain = [one.cell for one in cells]
    return {
        "settings": vars(settings) | {"objectives": [one.text for one in settings.objectives]},
        "models": world.model_dump(mode="json"),
        "overall": [one.as_json() for one in standings(plain)],
        "cells": [
            {
                "task": one.cell.task, "data": one.cell.data, "command": one.cell.command, "units": one.cell.units,
                "standings": [_full(standing, one) for standing in standings([one.cell])],
            }
            for one in cells
        ],
    }  # fmt: skip


def _full(one: Standing, cell: TransferCell) -> dict[str, Any]:
    entry = next(entry for entry in cell.cell.objectives if entry.id == one.id)
    minus = difference(cell.cell, one.id)
    return one.as_json() | {
        f"minus_{BASELINE}": None if minus is None else dataclasses.asdict(minus), "settings": entry.settings,
        "learning_rate": entry.learning_rate, "sft_epochs": entry.sft_epochs, "tried": entry.tried,
        "texts": [None if one.texts is None else one.texts.model_dump() for one in cell.reported[one.id]],
    }  # fmt: skip
