"""`mpo tune`: the same search of settings for every hand-written objective."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.tuning_options import TuneOption, TuningOption, check_tuning
from cli.validation import (
    MOST_SETTINGS,
    MOST_UNITS,
    check_folder,
    interruptible,
    locked,
    objective_ids_named,
    validating_input,
)

if TYPE_CHECKING:
    from mpo_experiments.tuning.tuned import TunedCell


def tune(
    task: Annotated[str, typer.Option(help="Task to tune on.")],
    data: Annotated[str, typer.Option(help="Preference data.")] = "mixed:0.75",
    objectives: Annotated[str | None, typer.Option(help="Ids, comma-separated; default: those of the table.")] = None,
    budget: Annotated[
        int,
        typer.Option(min=1, max=MOST_SETTINGS, help="Inner loops an objective, in settings that are on all units."),
    ] = 16,
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Tuning units each setting is scored on.")] = 8,
    preset: Annotated[str, typer.Option(help="Rows, length and inner loop as in this preset.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the tuning stream.")] = 0,
    tuning: TuningOption = "halving",
    tune: TuneOption = None,
    out: Annotated[Path, typer.Option(help="Folder for <task>/<data>.json.")] = Path("tuned"),
) -> None:
    """Tune the hand-written objectives under one budget, on seeds that no report uses."""
    with validating_input():
        from mpo_experiments.agents.lookup import check_agents
        from mpo_experiments.settings.run_config import build_config

        method, more = check_tuning(tuning, tune)
        config = build_config({"task": task, "data": data, "preset": preset, "seed": seed})
        check_agents(task, [config.data])
        check_folder("--out", out)
        from mpo_experiments.tuning.tuned import BASELINES

        ids = BASELINES if objectives is None else objective_ids_named(objectives)
    from cli.display import Display, console
    from mpo_core.seeds import Stream
    from mpo_experiments.provenance import made_here
    from mpo_experiments.settings.command import written_command
    from mpo_experiments.testbed import Testbed, comparison_settings
    from mpo_experiments.tuning.score_log import LoggedScores, log_of
    from mpo_experiments.tuning.tune import TuningSettings, tune as tuned_cell
    from mpo_experiments.tuning.tuned import TUNED_DIR_VARIABLE, save_tuned, tuned_file
    from mpo_experiments.tuning.written_before import check_written_before

    comparison = comparison_settings(config, Stream.TUNING, units, mode_actions=False)
    options = {"objectives": ids, "budget": budget, "units": units, "preset": preset, "seed": seed}
    how = {"tuning": method, "tune": more or None}
    command = written_command("tune", {"task": config.task, "data": config.data} | options | how)
    screen = console()
    again = "Run the same command again: the scores that were made are kept."
    file = tuned_file(out, config.task, config.data)
    with locked("--out", file.parent):
        with validating_input():
            check_written_before(file, command, made_here(task, config.data, config.inner))
            log = log_of(file.with_name(f"{file.stem}-{preset}-{seed}.scores.jsonl"), config.title, config)
        with interruptible(again), Display(screen) as display:
            settings, kept = TuningSettings(budget, comparison, method, more), functools.partial(LoggedScores, log=log)
            cell = tuned_cell(Testbed(task), ids, settings, command, display, kept)
        path = save_tuned(out, cell)
        log.remove()
    for line, style in _lines(cell):
        screen.print(line, style=style, markup=False)
    screen.print(
        f"Written to {path}; to use it: export {TUNED_DIR_VARIABLE}={out.resolve()}", soft_wrap=True, markup=False
    )


def _lines(cell: "TunedCell") -> Iterator[tuple[str, str]]:
    """What was found, with the ranges as they were searched, and what it took."""
    for id, found in cell.objectives.items():
        settings = ", ".join(f"{name}={value:g}" for name, value in found.settings.items()) or "default"
        if found.learning_rate is not None:
            settings += f", learning rate {found.learning_rate:g}"
        if "schedule" in cell.tune:
            settings += f", {found.sft_epochs} SFT epochs"
        yield f"{id:<10} {found.score:.3f} [{found.low:.3f}, {found.high:.3f}]  {settings}", ""
        for name, one in found.searched.items():
            extended = f", extended {one.extended} times" if one.extended else ""
            yield f"{'':<10} {name} searched in [{one.low:.3g}, {one.high:.3g}]{extended}", "dim"
    loops = max(found.loops or 0 for found in cell.objectives.values())
    updates = loops * (cell.updates_a_loop or 0)
    yield f"An objective's search took {loops} inner loops at most, {updates:,} updates; method: {cell.method}", ""
