"""The scores of a cell under way, kept as they are made, so that one that takes hours goes on where it was left."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mpo_experiments.objectives.saved import objective_hash
from mpo_experiments.provenance import hash_of, made_here
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.tuning.scores import KeepScores
from mpo_experiments.tuning.setting_search import Setting, Tried


class ScoreLog:
    """Lines of JSON: first what they are of, then the scores of a policy each; those of anything else are not used.

    A line that was cut short, as by a crash, is left out.

    Args:
        path: of the file; None keeps nothing.
        of: all that scores depend on besides objective, setting, stream and unit.
    """

    def __init__(self, path: Path | None, of: str):
        self._path, self._head = path, json.dumps({"of": of})
        text = path.read_text(errors="replace") if path is not None and path.is_file() else ""
        lines = text.splitlines()
        there = [one for line in lines[1:] if (one := _read(line)) is not None] if lines[:1] == [self._head] else []
        self._scores: dict[str, dict[str, float]] = {one["policy"]: one["scores"] for one in there}
        self._begun = bool(there) and text.endswith("\n")
        self.seconds_before: dict[str, float] = {}
        """What earlier tries took for the scores that they left, a stream."""
        for one in there:
            stream = one["policy"].partition(" ")[0]
            self.seconds_before[stream] = self.seconds_before.get(stream, 0.0) + one.get("seconds", 0.0)
        self._last = time.monotonic()

    def get(self, policy: str) -> dict[str, float] | None:
        """The scores of a policy, if it was judged before."""
        return self._scores.get(policy)

    def count(self, stream: str, ids: Sequence[str], units: int) -> int:
        """How many policies of some objectives were judged on the first units of a stream."""
        starts = tuple(f"{stream} {unit} {id} " for id in ids for unit in range(units))
        return sum(policy.startswith(starts) for policy in self._scores)

    def without(self, names: list[list[str]], part: range) -> list[int]:
        """Which of several objectives lack a score on some unit.

        Args:
            names: of the policies of each objective, one a unit.
            part: which of these units.
        """
        return [place for place, own in enumerate(names) if any(own[unit] not in self._scores for unit in part)]

    def put(self, scores: dict[str, dict[str, float]]) -> None:
        """Keeps the scores of some policies."""
        self._scores |= scores
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = [] if self._begun else [self._head]
        new = scores if self._begun else self._scores
        took, self._last = time.monotonic() - self._last, time.monotonic()
        each = round(took / max(len(new), 1), 3)
        lines += [json.dumps({"policy": policy, "scores": values, "seconds": each}) for policy, values in new.items()]
        with self._path.open("a" if self._begun else "w") as file:
            file.write("".join(f"{line}\n" for line in lines))
        self._begun = True

    def remove(self) -> None:
        """What is finished needs no log."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def log_of(path: Path, where: str, config: CellConfig) -> ScoreLog:
    """A log of scores that follow from the sizes and the seed of a configuration, and from what makes them here.

    Its name ends in a hash of all these, so that what is run with others loses nothing of it.

    Args:
        where: the task, the kind of data and whatever else tells apart what is run with the same sizes.
    """
    made = made_here(config.task, config.data, config.inner)
    depends: list[Any] = [where, config.seed, config.recorded(), *made.values()]
    of = hash_of([json.dumps(one) for one in depends])
    return ScoreLog(path.with_name(f"{path.stem}-{of[:8]}{path.suffix}"), of)


ScoreInParts = Callable[[Tried, range, KeepScores], Float[np.ndarray, "setting unit"]]
"""Scores settings on tuning units, and gives away scores as soon as they are made."""


@dataclasses.dataclass(frozen=True)
class LoggedScores:
    """Scores settings on tuning units, those alone that a log does not have."""

    score: ScoreInParts
    log: ScoreLog

    def __call__(self, tried: Tried, units: range) -> Float[np.ndarray, "setting unit"]:
        """As the score it stands for."""
        names = [policy_names("tuning", id, setting, units) for id, setting in tried]
        missing = self.log.without(names, range(len(units)))
        scores = np.array([[(self.log.get(name) or {}).get("sampled", np.nan) for name in own] for own in names])

        def keep(part: range, made: Float[np.ndarray, "setting unit"]) -> None:
            of = [names[place] for place in missing[part.start : part.stop]]
            rows = [zip(own, row, strict=True) for own, row in zip(of, made, strict=True)]
            self.log.put({name: {"sampled": float(score)} for row in rows for name, score in row})

        if missing:
            scores[missing] = self.score([tried[place] for place in missing], units, keep)
        return scores


def policy_names(stream: str, id: str, setting: Setting, units: range) -> list[str]:
    """What the policies of an objective were trained by and on, one a unit."""
    told: list[Any] = [sorted(setting.values.items()), setting.sft_epochs, setting.learning_rate]
    how = json.dumps([*told, objective_hash(id)])
    return [f"{stream} {unit} {id} {how}" for unit in units]


def _read(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"policy", "scores"} <= found.keys() else None
