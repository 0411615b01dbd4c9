"""`mpo tune`: the same random search for every hand-written objective."""

from pathlib import Path
from typing import Annotated

import typer

from cli.validation import MOST_SETTINGS, MOST_UNITS, check_folder, check_objectives, interruptible, validating_input


def tune(
    task: Annotated[str, typer.Option(help="Task to tune on.")],
    data: Annotated[str, typer.Option(help="Preference data.")] = "mixed:0.75",
    objectives: Annotated[str | None, typer.Option(help="Ids, comma-separated; default: those of the table.")] = None,
    budget: Annotated[
        int, typer.Option(min=1, max=MOST_SETTINGS, help="Settings an objective, the default among them.")
    ] = 16,
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Tuning units each setting is scored on.")] = 8,
    preset: Annotated[str, typer.Option(help="Rows, length and inner loop as in this preset.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the tuning stream.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for <task>/<data>.json.")] = Path("tuned"),
) -> None:
    """Tune the hand-written objectives under one budget, on seeds that no report uses."""
    with validating_input():
        from mpo_experiments.agents.lookup import load_agents
        from mpo_experiments.settings.run_config import build_config

        config = build_config({"task": task, "data": data, "preset": preset, "seed": seed})
        load_agents(task)
        check_folder("--out", out)
        from mpo_experiments.tuning.tuned import BASELINES

        ids = BASELINES if objectives is None else check_objectives(objectives)
    from cli.display import Display, console
    from mpo_core.seeds import Stream
    from mpo_experiments.settings.command import written_command
    from mpo_experiments.testbed import Testbed, comparison_settings
    from mpo_experiments.tuning.tune import TuningSettings, tune
    from mpo_experiments.tuning.tuned import TUNED_DIR_VARIABLE, save_tuned

    comparison = comparison_settings(config, Stream.TUNING, units, mode_actions=False)
    options = {"objectives": ids, "budget": budget, "units": units, "preset": preset, "seed": seed}
    command = written_command("tune", {"task": config.task, "data": config.data} | options)
    screen = console()
    with interruptible("Nothing was written."), Display(screen) as display:
        cell = tune(Testbed(task), ids, TuningSettings(budget, comparison), command, display)
    path = save_tuned(out, cell)
    for id, found in cell.objectives.items():
        settings = ", ".join(f"{name}={value:g}" for name, value in found.settings.items()) or "default"
        screen.print(f"{id:<10} {found.score:.3f} [{found.low:.3f}, {found.high:.3f}]  {settings}")
        for name, (low, high) in cell.ranges[id].items():
            screen.print(f"{'':<10} {name} searched in [{low:.3g}, {high:.3g}]", style="dim")
    screen.print(
        f"Written to {path}; to use it: export {TUNED_DIR_VARIABLE}={out.resolve()}", soft_wrap=True, markup=False
    )
