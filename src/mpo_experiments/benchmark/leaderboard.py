"""What the page of a benchmark shows: losses with what they need, cells, scores, verdicts, and commands."""

import dataclasses
import math
import shlex
from typing import Any

import numpy as np

from mpo_core.evaluation.statistics import Interval
from mpo_core.losses.catalogue import CatalogueEntry, catalogue_entry
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey, Entry
from mpo_experiments.benchmark.summary import best_on_units, best_tuned, entry_of, no_noise_score, standings
from mpo_experiments.benchmark.tables import Ranked, settings_text, short_id
from mpo_experiments.benchmark.verdicts import Gain, Verdict, gain, verdicts
from mpo_experiments.text_table import return_text

KINDS = ("sampled", "mode")
THIS_LOSS = "THIS_LOSS"
"""Stands in a cell's command for the loss that is asked about."""
DIGITS = 4


def leaderboard(
    keys: list[CellKey], cells: list[BenchmarkCell], ranked: Ranked, settings: BenchmarkSettings
) -> dict[str, Any]:
    """All of it as JSON: `losses` by rows, `cells` by columns, `scores[loss][cell]`, null where it was not run.

    Args:
        keys: the columns, cells that were not run among them.
        ranked: the standings of each cell.
    """
    by_key = {cell.key: cell for cell in cells}
    overall = standings(cells)
    found = {key: _scores(by_key[key], ranked) for key in keys if key in by_key}
    return {
        "about": _about(cells, settings),
        "losses": [_loss(one.id, one.sees) for one in overall],
        "overall": [{kind: _three(getattr(one, kind)) for kind in KINDS} for one in overall],
        "cells": [_cell(key, by_key.get(key), settings) for key in keys],
        "scores": [[found[key].get(one.id) if key in found else None for key in keys] for one in overall],
    }


def _about(cells: list[BenchmarkCell], settings: BenchmarkSettings) -> dict[str, Any]:
    """Sizes and conditions, as a reader must know them."""
    config, device = cells[0].config, cells[0].provenance["devices"]
    sizes = {name: config[name] for name in ("rows", "inner") if name in config}
    return {
        "budget": settings.budget, "tuning_units": settings.tuning_units, "units": settings.units,
        "preset": settings.preset, "seed": settings.seed, "method": settings.method, "tune": list(settings.tune),
        "tuned_from": settings.tuned_from,
        "rows": sizes.get("rows", {}).get("count"), "epochs": sizes.get("inner", {}).get("epochs"),
        "horizon": config["evaluation"]["horizon"],
        "device": f"{device['count']} x {device['kind']} ({device['platform']})",
        "hours": round(sum(sum(cell.seconds.values()) for cell in cells) / 3600, 1),
    }  # fmt: skip


def _loss(id: str, sees: tuple[str, ...]) -> dict[str, Any]:
    entry = _catalogued(id)
    told = {"id": short_id(id), "argument": shlex.quote(id), "sees": list(sees), "discovered": "/" in id}
    if entry is None:  # a file that is no longer there
        return told | {"family": "saved", "reference": None, "normalised": None, "formula": "", "citation": ""}
    return told | {
        "family": entry.family, "reference": entry.needs_reference, "normalised": entry.length_normalised,
        "formula": entry.formula, "citation": entry.citation,
    }  # fmt: skip


def _catalogued(id: str) -> CatalogueEntry | None:
    try:
        return catalogue_entry(id)
    except ValueError:
        return None


def _cell(key: CellKey, cell: BenchmarkCell | None, settings: BenchmarkSettings) -> dict[str, Any]:
    """A column: where it was run, whom its losses are compared with, and the command."""
    told = {"name": str(key), "task": key.task, "data": key.data, "run": cell is not None}
    if cell is None:
        return told | {"command": settings.command(key)}
    best, on_units = best_tuned(cell), best_on_units(cell, "sampled")
    alone = no_noise_score(cell)
    return told | {
        "command": _command(cell), "units": cell.units, "comparisons": len(cell.objectives) - 1,
        "original": return_text(cell.original), "target": return_text(cell.target),
        "no_noise": None if alone is None else round(alone, DIGITS),
        "best_tuned": None if best is None else short_id(best.id),
        "best_on_units": None if on_units is None else short_id(on_units.id),
    }  # fmt: skip


def _command(cell: BenchmarkCell) -> str:
    """What runs a cell again: for one loss, where others make no difference to how it is tuned; else for all."""
    settings = cell.settings
    if settings is None or (settings.method != "fixed" and settings.tuned_from is None):
        return cell.command
    return dataclasses.replace(settings, objectives=(THIS_LOSS,)).command(cell.key)


def _scores(cell: BenchmarkCell, ranked: Ranked) -> dict[str, dict[str, Any]]:
    """Every loss of a cell by its id."""
    standing = {one.id: one for one in ranked[cell.key]}
    against = {kind: _against_best(cell, kind) for kind in KINDS}
    return {
        entry.id: {
            "settings": settings_text(entry), "failed": entry.failed,
            **{kind: _score(entry, kind, standing[entry.id], against[kind].get(entry.id)) for kind in KINDS},
        }
        for entry in cell.objectives
    }  # fmt: skip


def _score(entry: Entry, kind: str, standing: Any, compared: tuple[Gain, Verdict] | None) -> dict[str, Any]:
    units = [round(score, DIGITS) for score in getattr(entry, kind)]
    told = {"iqm": _three(getattr(standing, kind)), "units": units, "mean": round(float(np.mean(units)), DIGITS)}
    if compared is None:
        return told
    found, verdict = compared
    return told | {
        "gain": _three(found.interval), "p": verdict.p_text, "word": verdict.word,
        "detectable": _rounded(found.detectable),
    }  # fmt: skip


def _against_best(cell: BenchmarkCell, kind: str) -> dict[str, tuple[Gain, Verdict]]:
    """Every other loss minus the best tuned one, each comparison of the cell counted."""
    best = best_tuned(cell)
    if best is None:
        return {}
    others = [entry for entry in cell.objectives if entry.id != best.id]
    gains = [gain([entry], entry_of(cell, best.id), kind) for entry in others]
    return {entry.id: both for entry, both in zip(others, zip(gains, verdicts(gains), strict=True), strict=True)}


def _three(interval: Interval) -> list[float | None]:
    return [_rounded(value) for value in (interval.estimate, interval.low, interval.high)]


def _rounded(value: float) -> float | None:
    """JSON knows no NaN."""
    return round(value, DIGITS) if math.isfinite(value) else None
