"""`mpo reframe`: a discovered objective for the log-probs of another task, or of a language model."""

import math
from pathlib import Path
from typing import Annotated

import typer

from cli.validation import check_folder, objective_named, validating_input


def reframe(
    objective: Annotated[str, typer.Argument(help="A run folder, an objective file, or discovered/NAME.")],
    task: Annotated[str | None, typer.Option(help="Task whose agents say where the log-probs lie.")] = None,
    own: Annotated[
        float | None,
        typer.Option(max=0.0, help="Mean token log-prob that the policy to be improved gives its own text."),
    ] = None,
    wanted: Annotated[float | None, typer.Option(max=0.0, help="That of the text it is to produce; lower.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the objective to.")] = Path("reframed"),
) -> None:
    """Move what a search learned to where another policy has its log-probs: the same parameters in another frame."""
    with validating_input():
        _check_ends(task, own, wanted)
        named = objective_named(objective)
        from mpo_core.mirror.monotone_network import Frame
        from mpo_experiments.objectives.frames import frame_of, knows_tokens
        from mpo_experiments.objectives.learned import save_reframed

        check_folder("--out", out)
        if task is not None and not knows_tokens(task):
            raise ValueError(f"the card of task {task!r} does not know its tokens' log-probs: give --own and --wanted")
        frame = frame_of([task]) if task is not None else Frame(own or 0.0, (own or 0.0) - (wanted or 0.0))
        save_reframed(named, frame, out)
    typer.echo(f"Written to {out}: own tokens at {frame.centre:.3f}, wanted ones at {frame.centre - frame.width:.3f}")
    using = f"train --task {task}" if task is not None else "align --model MODEL --dataset PAIRS"
    typer.echo(f"Next: mpo {using} --objective {out}")


def _check_ends(task: str | None, own: float | None, wanted: float | None) -> None:
    if (task is None) == (own is None and wanted is None):
        raise ValueError("a frame is that of --task, or --own with --wanted: give one of the two")
    if task is not None:
        return
    from mpo_experiments.objectives.frames import LEAST_WIDTH

    if own is None or wanted is None or not (math.isfinite(wanted) and own - wanted >= LEAST_WIDTH):
        raise ValueError(
            "--own and --wanted are the two ends of a frame: "
            f"give both, finite, and --wanted at least {LEAST_WIDTH:g} below --own"
        )
