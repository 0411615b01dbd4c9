"""What a loss is worth: trained and judged like `mpo train` does, as JSON values."""

from typing import Any

import numpy as np
from jaxtyping import Float

from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.learning_curve import LearningCurve
from mpo_core.evaluation.statistics import mean_interval
from mpo_core.objective.interface import AbstractObjective
from mpo_core.seeds import Stream
from mpo_experiments.evaluator.request import EvaluationRequest
from mpo_experiments.progress import SilentReporter
from mpo_experiments.provenance import agents_hash, devices, versions
from mpo_experiments.settings.run_config import build_config
from mpo_experiments.testbed import Testbed, comparison_settings

QUANTITIES = ("loss", "accuracy", "margin", "chosen_mean", "rejected_mean")
SCHEMA_VERSION = 1


def score(objective: AbstractObjective, request: EvaluationRequest) -> dict[str, Any]:
    """Trains on fresh units and judges after every epoch; the same request gives the same values on a machine.

    Raises:
        ValueError: a setting of the request cannot be used.
    """
    config = build_config({"task": request.task, "data": request.data, "preset": request.preset, "seed": request.seed})
    stream = Stream[request.stream.upper()]
    settings = comparison_settings(config, stream, request.units)
    testbed = Testbed(config.task)
    curve = testbed.learning_curve(Candidate(objective, request.sft_epochs), settings, SilentReporter())
    by_epoch = testbed.normalised(curve.return_, settings.evaluation)
    mode = testbed.normalised(curve.final_mode, settings.evaluation, mode=True)
    bad = curve.first_bad[curve.first_bad >= 0]
    return {
        "format": "mpo-evaluation", "schema_version": SCHEMA_VERSION,
        **_summary("score", by_epoch[:, -1]), **_summary("mode_score", mode),
        "unit_scores": by_epoch[:, -1].tolist(), "unit_mode_scores": mode.tolist(),
        "curve": _curve(curve, by_epoch),
        "first_bad_update": int(bad.min()) if bad.size else None,
        "first_bad_updates": [None if update < 0 else update for update in curve.first_bad.tolist()],
        "updates": settings.inner.epochs * (settings.rows.count // settings.inner.minibatch),
        "task": config.task, "data": config.data, "preset": config.preset, "sft_epochs": request.sft_epochs,
        "seeds": {"seed": request.seed, "stream": request.stream, "first_unit": 0, "units": request.units},
        "agents": agents_hash(config.task, config.data), "versions": versions(), "devices": devices(),
    }  # fmt: skip


def _summary(name: str, scores: Float[np.ndarray, " unit"]) -> dict[str, Any]:
    """Mean, its standard error and the 95 % t interval."""
    found = mean_interval(scores)
    error = float(scores.std(ddof=1) / np.sqrt(len(scores)))
    prefix = "" if name == "score" else "mode_"
    return {
        name: float(scores.mean()), f"{prefix}standard_error": error,
        f"{prefix}interval": [float(found.low), float(found.high)],
    }  # fmt: skip


def _curve(curve: LearningCurve, by_epoch: Float[np.ndarray, "unit epoch"]) -> dict[str, list[float | None]]:
    """Means over units, an entry an epoch; null for what is not finite, as JSON has no NaN."""
    values = {"score": by_epoch} | {name: getattr(curve, name) for name in QUANTITIES}
    return {
        name: [float(value) if np.isfinite(value) else None for value in found.mean(0)]
        for name, found in values.items()
    }
