"""An objective, by id or from a file, in a form that other programs read."""

from typing import Any, Literal, get_args

import jax

from adapters.expressions.latex import latex_document, symbol
from adapters.expressions.tree import formula_tree, tree_text
from adapters.storage.objective_files import read_objective, told_of
from adapters.torch.module import torch_module
from mpo_core.mirror.learned import own_frame
from mpo_core.names import unknown_name
from mpo_core.objective.interface import AbstractObjective, AbstractStatefulObjective
from mpo_experiments.objectives.formula import formula_of, settings_of
from mpo_experiments.objectives.named import NamedObjective

Format = Literal["torch", "json", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(named: NamedObjective, form: str) -> str:
    """An objective as text in one of `FORMATS`.

    Raises:
        ValueError: one sentence: no such format, or a file that cannot be read.
    """
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    objective, provenance = exported_objective(named)
    title = f"The preference-optimisation loss {provenance['objective']}"
    if form == "torch":
        return torch_module(objective, title=title, provenance=provenance)
    formula = formula_of(objective, named.loss)
    if form == "latex":
        told, lines = _told(named, objective, provenance), named.loss is None
        return latex_document(formula, title=title, told=told, lines=lines)
    return tree_text(formula_tree(formula) | {"provenance": provenance})


def where_it_bends(named: NamedObjective) -> str | None:
    """A sentence for who would use a learned objective elsewhere; None for one without a frame, or moved already."""
    if named.loss is not None:
        return None
    card, objective = read_objective(named.file)
    frame = own_frame(objective)
    if frame is None or "reframed" in card["provenance"]:
        return None
    own, wanted = frame.centre, frame.centre - frame.width
    return (
        f"This loss bends where a policy gives its own tokens a mean log-prob of {own:.2f}, wanted ones {wanted:.2f}. "
        f"For a model with others, move it first: mpo reframe {named.text} --own ... --wanted ... --out FOLDER"
    )


def exported_objective(named: NamedObjective) -> tuple[AbstractObjective, dict[str, Any]]:
    """An objective in double precision, and what an export says of it.

    Raises:
        ValueError: one sentence: the file cannot be read.
    """
    with jax.enable_x64(True):  # 0.1 is exported as 0.1, not as its nearest float32
        if named.loss is None:
            card, objective = read_objective(named.file)
            return objective, told_of(card)
        entry, objective = named.loss.entry, named.loss.make()
    spelled_out = str(named.loss.spelled_out())
    told = {"objective": spelled_out, "formula": entry.formula, "citation": entry.citation}
    if isinstance(objective, AbstractStatefulObjective):
        told["note"] = "the bare loss: the state that the original carries over updates stays as it begins"
    return objective, told


def _told(named: NamedObjective, objective: AbstractObjective, provenance: dict[str, Any]) -> list[str]:
    """What a formula leaves out: where it comes from, and its settings' values."""
    if named.loss is None:
        return ["to four digits; for fewer terms: mpo distill"]
    numbers = {
        name: value for name, value in settings_of(named.loss, objective).items() if isinstance(value, float | int)
    }
    said = ", ".join(f"{symbol(name)} = {value:g}" for name, value in numbers.items())
    return [str(provenance["citation"]), *([f"here {said}"] if said else [])]
