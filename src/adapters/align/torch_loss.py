"""An objective as a torch function in this process: the exported module, run, and what it reads."""

import ast
import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

if "jax" not in sys.modules:  # JAX only traces the loss: it must not take the memory of the GPU that torch trains on
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from adapters.expression_graph import ARGUMENTS
from adapters.objective_export import export
from adapters.objective_files import load_objective
from mpo_core.objective import AbstractStatefulObjective


@dataclasses.dataclass(frozen=True)
class TorchLoss:
    """A loss of rows in torch, as `mpo export --format torch` writes it."""

    text: str
    """The objective as it was asked for."""
    rows: Callable[..., Any]
    """`loss(logp_chosen, logp_rejected, ref_chosen, ref_rejected, chosen_length, rejected_length, progress, margin)`:
    one loss per row."""
    reads: frozenset[str]
    """The arguments that its value depends on."""
    provenance: dict[str, Any]
    beta: float | None
    """Its scale of log-probs, if it has one."""

    @property
    def needs_reference(self) -> bool:
        """Whether it reads log-probs under the reference policy."""
        return bool(self.reads & {"ref_chosen", "ref_rejected"})

    @property
    def needs_margin(self) -> bool:
        """Whether it reads the margin of reward."""
        return "margin" in self.reads

    @property
    def normalises_length(self) -> bool:
        """Whether it reads the length of both responses."""
        return {"chosen_length", "rejected_length"} <= self.reads


def torch_loss(text: str) -> TorchLoss:
    """The loss of an objective given as `id`, `id:name=value,...`, an objective file or a run folder.

    Raises:
        ValueError: one sentence: no such objective, a file that cannot be read, or one that keeps a state between
            updates, which a trainer of language models does not carry.
    """
    objective = load_objective(text)
    if isinstance(objective, AbstractStatefulObjective):
        raise ValueError(
            f"objective {text!r} keeps a state between updates, which a trainer of language models does not carry: "
            "choose one without (mpo list objectives shows all)"
        )
    source = export(text, "torch")
    scope: dict[str, Any] = {}
    exec(compile(source, f"<mpo export {text}>", "exec"), scope)
    beta = getattr(objective, "beta", None)
    return TorchLoss(text, scope["loss"], _read_by(source), scope["PROVENANCE"], None if beta is None else float(beta))


def _read_by(source: str) -> frozenset[str]:
    """The arguments that the exported function uses."""
    loss = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "loss")
    used = {node.id for node in ast.walk(loss) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    # torch takes device and dtype from `logp_chosen`, so that one counts as read wherever anything is computed
    return frozenset(used & set(ARGUMENTS))
