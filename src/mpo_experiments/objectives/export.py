"""An objective, by id or from a file, in a form that other programs read."""

import json
from typing import Any, Literal, get_args

import jax

from adapters.expressions.graph import ARGUMENTS, trace_objective
from adapters.expressions.latex import latex
from adapters.storage.objective_files import read_objective, told_of
from adapters.torch.module import torch_module
from adapters.torch.source import TorchBody
from mpo_core.losses.catalogue import catalogue_entry, make_objective, parse_objective_text
from mpo_core.names import unknown_name
from mpo_core.objective.interface import AbstractObjective, AbstractStatefulObjective
from mpo_experiments.objectives.lookup import canonical_text, is_path, located

Format = Literal["torch", "json", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(text: str, form: str) -> str:
    """An objective as text in one of `FORMATS`.

    Args:
        text: `id`, `id:name=value,...`, an objective file or a run folder.

    Raises:
        ValueError: one sentence: no such format or objective, or a file that cannot be read.
    """
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    objective, provenance = exported_objective(text)
    title = f"The preference-optimisation loss {provenance['objective']}"
    if form == "torch":
        return torch_module(objective, title=title, provenance=provenance)
    if form == "latex":
        return latex(objective, title=title)
    return json.dumps(_as_json(objective, provenance), indent=2) + "\n"


def exported_objective(text: str) -> tuple[AbstractObjective, dict[str, Any]]:
    """An objective in double precision, and what an export says of it.

    Raises:
        ValueError: one sentence: no such objective, or a file that cannot be read.
    """
    with jax.enable_x64(True):  # 0.1 is exported as 0.1, not as its nearest float32
        if is_path(text):
            card, objective = read_objective(located(text))
            return objective, told_of(card)
        id, settings = parse_objective_text(text)
        entry, objective = catalogue_entry(id), make_objective(id, **settings)
    told = {"objective": canonical_text(text), "formula": entry.formula, "citation": entry.citation}
    if isinstance(objective, AbstractStatefulObjective):
        told["note"] = "the bare loss: the state that the original carries over updates stays as it begins"
    return objective, told


def _as_json(objective: AbstractObjective, provenance: dict[str, Any]) -> dict[str, Any]:
    body = TorchBody(trace_objective(objective))
    return {
        "format": "mpo-export",
        "schema_version": 1,
        "arguments": list(ARGUMENTS),
        "statements": dict(zip(body.names, body.texts, strict=True)) | {"loss": body.result},
        "constants": {name: value.tolist() for name, value in body.constants.items()},
        "provenance": provenance,
    }
