"""The folder that `mpo train --out FOLDER` leaves: settings, scores, the trained policies, TensorBoard."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from adapters.logging.scalars import Scalars
from adapters.storage.agent_files import save_agent
from adapters.storage.files import write_json
from adapters.storage.language_files import facts_of
from adapters.storage.sealed import write_sealed
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.policy import AbstractPolicy
from mpo_experiments.provenance import agents_hash, devices, versions
from mpo_experiments.settings.run_config import CellConfig

SCORES, CONFIG = "scores.json", "config.json"


def write_trained(
    folder: Path, found: dict[str, Any], config: CellConfig, policies: AbstractPolicy, log: str = "tensorboard"
) -> None:
    """Writes `config.json`, `scores.json`, `policies/unit-000.safetensors`, ... and `tensorboard/`.

    Args:
        folder: made where it is not there.
        found: what `mpo train` puts into its JSON; `found["epochs"]` has a list (unit, epoch) a quantity.
        config: with which it was trained.
        policies: after the last epoch, leaves with a leading unit axis; `adapters.storage.agent_files.load_agent`
            reads one, given the activation and bin width in config.json.
        log: where its numbers go beside the folder: one of `adapters.logging.scalars.LOGS`.
    """
    trained = {name: found[name] for name in ("objective", "sft_epochs")} | {"units": len(found["sampled"])}
    provenance = {
        "command": "mpo train", "train": trained, "policy": _facts(policies),
        "agents": agents_hash(config.task, config.data), "versions": versions(), "devices": devices(),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for unit in range(trained["units"]):
        own = jax.tree.map(lambda leaf, unit=unit: leaf[unit], policies)
        save_agent(folder / "policies" / f"unit-{unit:03d}.safetensors", own)
    with Scalars(folder, log, config=config.model_dump(mode="json") | trained) as scalars:
        for epoch, values in enumerate(_by_epoch(found["epochs"]), start=1):
            scalars.write_scalars(epoch, values)
    write_json(folder / SCORES, found)
    write_sealed(folder / CONFIG, config.model_dump(mode="json") | {"provenance": provenance})


def _facts(policies: AbstractPolicy) -> dict[str, Any]:
    """What the policies' files do not say."""
    if isinstance(policies, LanguagePolicy):
        return {"language": facts_of(policies).model_dump()}
    assert isinstance(policies, GaussianPolicy)
    return {"activation": policies.activation, "bin_width": policies.bin_width}


def _by_epoch(quantities: dict[str, list[list[float | None]]]) -> list[dict[str, float | None]]:
    """Means over units under `train/`, a dictionary an epoch; None where no unit has a finite number."""
    epochs = len(next(iter(quantities.values()))[0])

    def mean(rows: list[list[float | None]], epoch: int) -> float | None:
        numbers = [number for row in rows if (number := row[epoch]) is not None]
        return float(np.mean(numbers)) if numbers else None

    return [{f"train/{name}": mean(rows, epoch) for name, rows in quantities.items()} for epoch in range(epochs)]
