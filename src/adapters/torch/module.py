"""A whole objective as one self-contained Python module that needs torch alone."""

import json
from typing import Any

from adapters.expressions.graph import ARGUMENTS, trace_objective
from adapters.torch.source import HELPERS, TENSORS, TorchBody, arguments, constant_text
from mpo_core.objective.interface import AbstractObjective

DOCSTRING = '''    """The loss of each row, to minimise; take its mean.

    Nothing is broadcast. Half precision is computed in single precision, and the loss is single.

    Args:
        logp_chosen, logp_rejected: log-probs of chosen and rejected, summed over their tokens; shape (rows,).
        ref_chosen, ref_rejected: the same under the reference policy, without gradient; zeros if there is none.
        chosen_length, rejected_length: lengths in tokens; 0 counts as 1.
        progress: share of all updates already made, in [0, 1): a float or a tensor without axes. Under torch.compile
            either changes from step to step without compiling anew.
        margin: chosen minus rejected reward, in standard deviations of the data; zeros if not known.

    Raises:
        ValueError: the arguments differ in shape, or have more than the one axis.
    """'''
ROWS = '''def _rows(*given):
    """The arguments as they are, but half precision as single."""
    shapes = [tuple(getattr(one, "shape", ())) for one in given]
    if len(shapes[0]) != 1 or any(shape != shapes[0] for shape in shapes):
        shown = ", ".join(f"{name} {shape}" for name, shape in zip(ROW_ARGUMENTS, shapes))
        raise ValueError(f"the loss takes one number a row in every argument, and has the shapes {shown}")
    return [one.float() if one.dtype in (torch.float16, torch.bfloat16) else one for one in given]'''
ROW_ARGUMENTS = tuple(name for name in ARGUMENTS if name != "progress")
LENGTHS = ("chosen_length", "rejected_length")


def torch_module(objective: AbstractObjective, *, title: str, provenance: dict[str, Any]) -> str:
    """The source of a module with `loss(...)` and `PROVENANCE`.

    Args:
        title: first line of its docstring.
        provenance: where the objective comes from; anything that JSON can hold.

    Raises:
        ValueError: the objective uses an operation that has no torch form here.
    """
    try:
        body = TorchBody(trace_objective(objective))
    except NotImplementedError as error:
        raise ValueError(f"this loss cannot be written for torch: {error}") from None
    helpers = [TENSORS] if {"maximum", "minimum", "logaddexp"} & set(body.helpers) else []
    helpers += [HELPERS[name] for name in body.helpers] + [ROWS]
    constants = [
        f"{name} = torch.tensor({constant_text(value)}, dtype=torch.float64)" for name, value in body.constants.items()
    ]
    parts = [
        f'"""{title}\n\nExported by mpo (Mirror Preference Optimization). Needs torch alone; one loss per row.\n"""',
        "import json\n\nimport torch",
        f"PROVENANCE = json.loads(r'''{json.dumps(provenance, indent=2)}''')",
        *constants,
        "ROW_ARGUMENTS = (\n    " + ", ".join(f'"{name}"' for name in ROW_ARGUMENTS) + "\n)",
        *(f"\n{helper}\n" for helper in helpers),
        f"\ndef loss(\n    {arguments()}\n):\n{DOCSTRING}\n" + "\n".join(f"    {line}" for line in _body(body)),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _body(body: TorchBody) -> list[str]:
    """The statements: what is made of the arguments, as far as the loss reads them, and the loss."""
    text, rows = "\n".join(body.lines()), ", ".join(ROW_ARGUMENTS)
    lines = ["margin = torch.zeros_like(logp_chosen) if margin is None else margin"]
    lines += [f"{rows} = _rows(", f"    {rows}", ")"]
    lines += [f"{one} = {one}.clamp(min=1)" for one in LENGTHS if one in text]
    if "progress" in text:  # by a sum: of `as_tensor` torch.compile would take each float for another constant
        lines.append("progress = (logp_chosen.new_zeros(()) + progress).to(logp_chosen)")
    return lines + body.lines()
