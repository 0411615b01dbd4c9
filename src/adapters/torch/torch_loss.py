"""An objective as a torch function in this process: the exported module, and which arguments its value depends on."""

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import torch

if "jax" not in sys.modules:  # JAX only traces the loss: it must not take the memory of the GPU that torch trains on
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from adapters.expressions.graph import arguments_of, trace_objective
from adapters.torch.module import torch_module
from mpo_core.objective.interface import AbstractObjective


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
    temperature: float | None = None
    """That of its blend, if it has one: `discopop_tau` of TRL."""
    compares_rows: bool = False
    """Whether the loss of a row depends on the other rows of its batch."""

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


def torch_loss(text: str, objective: AbstractObjective, provenance: dict[str, Any]) -> TorchLoss:
    """An objective as a torch function, traced in double precision.

    Args:
        text: the objective as it was asked for.
        objective: one without a state.
        provenance: where it comes from; `objective` names it.
    """
    source = torch_module(
        objective, title=f"The preference-optimisation loss {provenance['objective']}", provenance=provenance
    )
    graph = trace_objective(objective)
    scope: dict[str, Any] = {}
    exec(compile(source, f"<mpo export {text}>", "exec"), scope)
    beta, temperature = (_number(getattr(objective, name, None)) for name in ("beta", "temperature"))
    rows = scope["loss"]
    return TorchLoss(text, rows, arguments_of(graph), provenance, beta, temperature, _compares_rows(rows))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _compares_rows(rows: Callable[..., Any]) -> bool:
    """Tried on eight rows in order, and on each alone."""
    values = [
        8 * torch.rand(8, generator=torch.Generator().manual_seed(place), dtype=torch.float64) for place in range(5)
    ]
    chosen, rejected, reference, other, margin = (-values[0], -values[1], -values[2], -values[3], values[4])
    length = torch.arange(4.0, 12.0, dtype=torch.float64)
    given = (chosen, rejected, reference, other, length, length.flip(0))
    whole = rows(*given, 0.5, margin)
    alone = [rows(*(one[at : at + 1] for one in given), 0.5, margin[at : at + 1]) for at in range(8)]
    return not torch.allclose(whole, torch.cat(alone), rtol=1e-9, atol=1e-12, equal_nan=True)
