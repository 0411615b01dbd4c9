"""A whole objective as one self-contained Python module that needs torch alone."""

import json
from typing import Any

from adapters.expressions.graph import ARGUMENTS, trace_objective
from adapters.torch.source import HELPERS, TENSORS, TorchBody, arguments, constant_text
from mpo_core.objective.interface import AbstractObjective

DOCSTRING = '''    """The loss of each row, to minimise; take its mean.

    Args:
        logp_chosen, logp_rejected: log-probs of chosen and rejected, summed over their tokens; shape (rows,).
        ref_chosen, ref_rejected: the same under the reference policy, without gradient; zeros if there is none.
        chosen_length, rejected_length: lengths in tokens, at least 1.
        progress: share of all updates already made, in [0, 1): a float or a tensor without axes.
        margin: chosen minus rejected reward, in standard deviations of the data; zeros if not known.
    """'''


def torch_module(objective: AbstractObjective, *, title: str, provenance: dict[str, Any]) -> str:
    """The source of a module with `loss(...)` and `PROVENANCE`.

    Args:
        title: first line of its docstring.
        provenance: where the objective comes from; anything that JSON can hold.

    Raises:
        NotImplementedError: the objective uses an operation that has no torch form here.
    """
    body = TorchBody(trace_objective(objective))
    helpers = [TENSORS] if {"maximum", "minimum"} & set(body.helpers) else []
    helpers += [HELPERS[name] for name in body.helpers]
    constants = [
        f"{name} = torch.tensor({constant_text(value)}, dtype=torch.float64)" for name, value in body.constants.items()
    ]
    parts = [
        f'"""{title}\n\nExported by mpo (Mirror Preference Optimization). Needs torch alone; one loss per row.\n"""',
        "import json\n\nimport torch",
        f"PROVENANCE = json.loads(r'''{json.dumps(provenance, indent=2)}''')",
        *constants,
        *(f"\n{helper}\n" for helper in helpers),
        f"\ndef loss(\n    {arguments()}\n):\n{DOCSTRING}\n" + "\n".join(f"    {line}" for line in _body(body)),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _body(body: TorchBody) -> list[str]:
    lines = ["progress = torch.as_tensor(progress, dtype=logp_chosen.dtype, device=logp_chosen.device)"]
    text = "\n".join(body.lines())
    lines = lines if "progress" in text else []
    if ARGUMENTS[-1] in text:
        lines.append("margin = torch.zeros_like(logp_chosen) if margin is None else margin")
    return lines + body.lines()
