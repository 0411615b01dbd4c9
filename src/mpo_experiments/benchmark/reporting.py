"""What objectives score on reporting units; large units are run a few at a time, and kept as soon as they are done."""

from typing import Any

import numpy as np

from mpo_core.evaluation.comparison import ComparisonReturns, ComparisonSettings, unit_bytes
from mpo_core.memory import units_at_once
from mpo_experiments.benchmark.cell import Choice
from mpo_experiments.progress import PartClock, Reporter, parts_of
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.score_log import ScoreLog, policy_names
from mpo_experiments.tuning.scores import SettingScores
from mpo_experiments.tuning.setting_search import Setting

SCORES = ("sampled", "mode", "clamped")


def report_scores(
    testbed: Testbed, chosen: dict[str, Choice], settings: ComparisonSettings, reporter: Reporter, log: ScoreLog
) -> list[dict[str, Any]]:
    """The scores of every objective on every unit; those alone are run that a log does not have.

    Args:
        chosen: how every objective is run.
        log: has the scores of an earlier try, and is given those of this one.
    """
    tried = [(id, Setting(one.settings, one.sft_epochs, one.learning_rate)) for id, one in chosen.items()]
    names = [policy_names("reporting", id, one, range(settings.units)) for id, one in tried]
    score, clock = SettingScores(testbed, settings, reporter), PartClock("units", settings.units)
    held = units_at_once(unit_bytes(testbed.task, settings.rows), settings.units)
    filling = -(-testbed.program.envs // (len(chosen) * settings.evaluation.episodes))
    parts = unit_parts(settings.units, held, filling)
    for part in parts:
        missing = log.without(names, part)
        if not missing:
            continue
        several = len(parts) > 1
        reporter.note(clock.told(part) if several else f"Reporting: {len(missing)} objectives on {len(part)} units")
        found = score.compare([tried[place] for place in missing], part)
        log.put(_made([names[place] for place in missing], part, found))
    return [_scores([log.get(name) or {} for name in own]) for own in names]


def unit_parts(units: int, held: int, filling: int) -> list[range]:
    """Units that are run together.

    Args:
        held: how many of them memory holds at once; all are one part if it holds them all.
        filling: how many fill a block of rollouts, where policies are judged.
    """
    size = units if held >= units else max(held, filling)
    return parts_of(units, size)


def _made(names: list[list[str]], part: range, found: ComparisonReturns) -> dict[str, dict[str, float]]:
    return {
        own[unit]: {name: float(getattr(found, name)[row, column]) for name in SCORES}
        for row, own in enumerate(names)
        for column, unit in enumerate(part)
    }


def _scores(by_unit: list[dict[str, float]]) -> dict[str, Any]:
    clamped = np.array([one["clamped"] for one in by_unit], np.float32)
    return {name: [one[name] for one in by_unit] for name in ("sampled", "mode")} | {"clamped": float(clamped.mean())}
