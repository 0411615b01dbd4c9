"""A transfer experiment on disk: its models, and a file for every trial that is finished."""

import dataclasses
import json
import re
from pathlib import Path

from adapters.storage.files import slug
from adapters.storage.sealed import read_model, seal_of, write_sealed
from mpo_experiments.lm_transfer.settings import SCHEMA, Outcome, TransferSettings, Trial, WorldCard
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.provenance import hash_of


class TransferFolder:
    """`world/` and `trials/<data>/<objective>-<stream>-<unit>-<hash>.json`; one process at a time writes to it.

    The hash is of all that a trial's outcome follows from, so that an experiment with another objective, unit or
    candidate more takes up every trial that it shares with those before it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._identities: dict[NamedObjective, str] = {}

    def outcome(self, trial: Trial, settings: TransferSettings, world: WorldCard) -> Outcome | None:
        """What came of a trial; None if it was not run, or its file is damaged: it is run again."""
        try:
            path = self._file(trial, settings, world)
            return read_model(path, "transfer trial", Outcome, advice="run it again", version=SCHEMA)
        except ValueError:
            return None

    def save(self, outcome: Outcome, trial: Trial, settings: TransferSettings, world: WorldCard) -> None:
        """Keeps what came of a trial."""
        write_sealed(self._file(trial, settings, world), outcome.model_dump(mode="json"))

    def _file(self, trial: Trial, settings: TransferSettings, world: WorldCard) -> Path:
        sizes = json.dumps(dataclasses.asdict(settings.sizes), sort_keys=True)
        if trial.objective not in self._identities:
            self._identities[trial.objective] = identity(trial.objective)
        stream = trial.stream.name.lower()
        parts = [world.weights, sizes, trial.data, self._identities[trial.objective], repr(trial.learning_rate), stream]
        parts.append(str(trial.sft_epochs))
        found = hash_of([*parts, str(trial.unit), str(settings.seed)])[:12]
        short = Path(trial.objective.text.partition(":")[0].lower()).name
        name = re.sub(r"[^a-z0-9_.]+", "-", short).strip("-.")[-40:]
        return self.path / "trials" / slug(trial.data) / f"{name}-{stream}-{trial.unit}-{found}.json"


def identity(objective: NamedObjective) -> str:
    """What an objective is, in a text that no other has: its numbers spelled out; of a file, its card's hash."""
    if objective.loss is not None:
        return str(objective.loss.spelled_out())
    return seal_of(objective.card())
