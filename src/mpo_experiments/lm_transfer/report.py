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
from mpo_experiments.benchmark.tables import overview_table, scores_table
from mpo_experiments.lm_transfer.run import TransferCell
from mpo_experiments.lm_transfer.settings import LEARNING_RATES, TransferSettings, WorldCard
from mpo_experiments.lm_transfer.tables import agreement_table, difference, transfer_table
from mpo_experiments.text_table import TextTable

PROTOCOL = (
    "A small language model (*original*) writes short reviews; another (*target*) learned further from reviews of "
    "high reward. The reward is a program (`mpo_experiments/reviews/grammar.py`). Score: mean reward of the reviews "
    "that a trained model draws at temperature 1, original 0, target 1; `mode`: of the likeliest word each time. "
    "Every objective had the same learning rates and, where it has published ranges, the same number of random "
    "settings on the tuning stream of seeds; its best candidate was then run on the reporting stream. All objectives "
    "share units; a unit has its own pairs, label noise, training seed and evaluation seed. See docs/protocol.md."
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
    if suite is not None:
        tables.append(agreement_table(plain, read_json(suite, "benchmark summary"), str(suite)))
    figure = folder / "ranking.png"
    draw_ranking(figure, plain, ranked)
    markdown, summary = _markdown(plain, tables, settings, world), _summary(cells, settings, world)
    return [*write_results(folder, markdown, tables, scores_table(plain), summary), figure]


def _markdown(cells: list[BenchmarkCell], tables: list[TextTable], settings: TransferSettings, world: WorldCard) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in world.versions.items())
    sizes, rates = settings.sizes, ", ".join(f"{rate:g}" for rate in LEARNING_RATES)
    lines = [
        "# Transfer to language models",
        PROTOCOL,
        f"{sizes.layers} layers of {sizes.hidden}, {sizes.rows} pairs a unit, {sizes.epochs} epochs, minibatch "
        f"{sizes.minibatch}; learning rates {rates}, constant; {settings.budget} candidates an objective that has "
        f"published ranges, {min(settings.budget, len(LEARNING_RATES))} for any other, on {settings.tuning_units} "
        f"tuning units; {settings.units} reporting units of {sizes.samples} reviews; seed {settings.seed}. {versions}.",
        f"Again: `{settings.command(tuple(cell.data for cell in cells))}`",
        "![ranking](ranking.png)",
        *(table.markdown() for table in tables),
    ]
    return "\n\n".join(line.strip() for line in lines) + "\n"


def _summary(cells: Sequence[TransferCell], settings: TransferSettings, world: WorldCard) -> dict[str, Any]:
    plain = [one.cell for one in cells]
    return {
        "settings": dataclasses.asdict(settings),
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
        "sft_epochs": entry.sft_epochs, "tried": entry.tried, "ended": cell.ended[one.id], "words": cell.words[one.id],
    }  # fmt: skip
