"""`mpo reframe`: a discovered objective for the log-probs of another task, or of a language model."""

from pathlib import Path
from typing import Annotated

import typer

from cli.door import at_the_door, check_folder


def reframe(
    objective: Annotated[str, typer.Argument(help="A run folder, an objective file, or discovered/NAME.")],
    task: Annotated[str | None, typer.Option(help="Task whose agents say where the log-probs lie.")] = None,
    own: Annotated[
        float | None,
        typer.Option(max=0.0, help="Mean token log-prob that the policy to be improved gives its own text."),
    ] = None,
    wanted: Annotated[float | None, typer.Option(max=0.0, help="And the text that it is to produce: lower.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the objective to.")] = Path("reframed"),
) -> None:
    """Move what a search learned to where another policy has its log-probs: the same parameters in another frame."""
    with at_the_door():
        frame_wanted = _asked(task, own, wanted)
        from adapters.frames import frame_of
        from adapters.objective_files import save_reframed
        from mpo_core.mirror.monotone_network import Frame

        check_folder("--out", out)
        frame = frame_of([task]) if task is not None else Frame(frame_wanted[0], frame_wanted[0] - frame_wanted[1])
        save_reframed(objective, frame, out)
    typer.echo(f"Written to {out}: own tokens at {frame.centre:.3f}, wanted ones at {frame.centre - frame.width:.3f}")
    typer.echo(f"Next: mpo train --task {task or 'TASK'} --objective {out}")


def _asked(task: str | None, own: float | None, wanted: float | None) -> tuple[float, float]:
    """Both ends of the frame, where no task says them."""
    if (task is None) == (own is None and wanted is None):
        raise ValueError("a frame is that of --task, or --own with --wanted: give one of the two")
    if task is not None:
        return 0.0, -1.0
    if own is None or wanted is None or not wanted < own:
        raise ValueError("--own and --wanted are the two ends of a frame: give both, --wanted below --own")
    return own, wanted
