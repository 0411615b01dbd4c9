"""`mpo distill`: a closed form of a learned objective."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import Context, check_read
from cli.validation import MOST_UNITS, check_folder, interruptible, objective_named, validating_input

if TYPE_CHECKING:
    from rich.console import Console

    from mpo_core.mirror.mirror_objective import MirrorObjective
    from mpo_experiments.distill.run import Learned
    from mpo_experiments.settings.run_config import CellConfig
    from mpo_experiments.testbed import Testbed
    from mpo_experiments.text_table import TextTable

STREAMS = ("reporting", "selection")


def distill(
    context: Context,
    objective: Annotated[str, typer.Argument(help="A run folder, or the file of a learned objective.")],
    terms: Annotated[int, typer.Option(min=1, max=64, help="Terms of each map, at most.")] = 6,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Error of the gradient below which no more terms are added.")
    ] = 0.02,
    task: Annotated[str | None, typer.Option(help="Task to sample; the search's unless given.")] = None,
    data: Annotated[str | None, typer.Option(help="Preference data to sample; the search's unless given.")] = None,
    preset: Annotated[str | None, typer.Option(help="Rows, length and inner loop; the search's unless given.")] = None,
    low: Annotated[
        float | None,
        typer.Option("--range", max=-0.01, help="Least mean token log-prob: fits on (LOW, 0) without a simulator."),
    ] = None,
    score: Annotated[bool, typer.Option("--score", help="Train original, closed form and SFT on fresh units.")] = False,
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Units of --score.")] = 32,
    stream: Annotated[str, typer.Option(help="Seeds of --score: reporting or selection.")] = "reporting",
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of samples and of --score.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write; distilled-NAME here unless given.")] = None,
) -> None:
    """Distil a learned objective to a closed form: text, LaTeX, Python, and an objective file for other commands."""
    with validating_input():
        from mpo_core.names import unknown_name

        if stream not in STREAMS:
            raise unknown_name("stream", stream, STREAMS)
        if low is not None and (task or data or preset):
            raise ValueError("--range samples no task: leave --task, --data and --preset out, or --range")
        check_read(context, score, "goes with --score", "units", "stream")
        named = objective_named(objective)
        from mpo_experiments.distill.folder import check_nothing_lost, default_folder
        from mpo_experiments.distill.run import Learned, read_learned
        from mpo_experiments.distill.samples import conditions

        card, objective_ = read_learned(named)
        config = None
        if low is None or score:
            from mpo_experiments.agents.lookup import check_agents

            config = conditions(card, task=task, data=data, preset=preset, seed=seed)
            check_agents(config.task, [config.data])
        epochs = named.sft_epochs(config.inner.epochs) if config else 0
        folder = default_folder(objective) if out is None else out
        check_folder("--out", folder)
        check_nothing_lost(folder, card["sha256"])
        learned = Learned(objective, card, objective_, config, epochs, low, seed)
    _distilled(learned, folder, terms, tolerance, (stream, units) if score else None)


def _distilled(
    learned: "Learned", folder: Path, terms: int, tolerance: float, comparison: tuple[str, int] | None
) -> None:
    from cli.display import Display, console
    from mpo_core.mirror.distillation import DistillSettings
    from mpo_experiments.distill.folder import FILES, errors_json, errors_table, provenance_of, write_distilled
    from mpo_experiments.distill.run import fitted, samples_of
    from mpo_experiments.testbed import Testbed

    screen, settings = console(), DistillSettings(terms, tolerance)
    testbed = Testbed(learned.config.task) if learned.config else None
    with interruptible("Nothing was written."):
        with Display(screen) as display:
            found = fitted(learned, samples_of(learned, testbed, display), settings, display)
        told = {"terms": terms, "tolerance": tolerance, "range": learned.low, "seed": learned.seed}
        provenance = provenance_of(learned.card, learned.source, told | {"errors": errors_json(found.errors)})
        text = write_distilled(folder, learned.objective, found.closed, found.held, provenance)
    screen.print(f"\n{text}", markup=False, soft_wrap=True)
    _print_table(screen, errors_table(found.closed, found.errors))
    screen.print(f"\nWritten to {folder}: {', '.join(FILES)}", soft_wrap=True, markup=False)
    if comparison is None or testbed is None or learned.config is None:
        screen.print(f"Next: mpo train --task TASK --objective {folder}, or --score", soft_wrap=True, markup=False)
        return
    _scored(learned, found.closed, (testbed, learned.config), folder, comparison)


def _scored(
    learned: "Learned",
    closed: "MirrorObjective",
    where: "tuple[Testbed, CellConfig]",
    folder: Path,
    comparison: tuple[str, int],
) -> None:
    import dataclasses

    from adapters.storage.files import write_json
    from cli.display import Display, console
    from mpo_core.seeds import Stream
    from mpo_experiments.distill.folder import SCORE
    from mpo_experiments.distill.score import NAMES, score

    screen, name, units = console(), comparison[0], comparison[1]
    with interruptible("The closed form above is written, its score is not."):
        with Display(screen) as display:
            drawn = (Stream[name.upper()], units)
            found = score(*where, (learned.objective, closed), learned.sft_epochs, drawn, display)
        share = None if found.share is None else dataclasses.asdict(found.share)
        scores = dict(zip(NAMES, found.scores.tolist(), strict=True))
        value = {"conditions": found.conditions, "stream": name, "units": units, "scores": scores, "share": share}
        write_json(folder / SCORE, value)
    screen.print()
    _print_table(screen, found.table())
    for line in found.lines():
        screen.print(line, soft_wrap=True)


def _print_table(screen: "Console", table: "TextTable") -> None:
    """The table, and under it its caption, which is wider."""
    import dataclasses

    from cli.display import rich_table

    screen.print(rich_table(dataclasses.replace(table, caption="")))
    screen.print(table.caption, markup=False)
