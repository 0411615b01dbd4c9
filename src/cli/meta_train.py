"""`mpo meta-train`: the main job."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.door import REFUSED, at_the_door, check_folder, interruptible

_PROCESS_START = time.monotonic()


def meta_train(
    task: Annotated[str | None, typer.Option(help="Task to discover an objective on (mpo list tasks).")] = None,
    data: Annotated[str | None, typer.Option(help="Preference data, such as mixed:0.75+noisy:0.1.")] = None,
    preset: Annotated[str | None, typer.Option(help="Size of everything: smoke, quick or paper.")] = None,
    init: Annotated[str | None, typer.Option(help="Where the search starts: id, id:name=value, or a file.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Evolution strategy (mpo list strategies).")] = None,
    population: Annotated[int | None, typer.Option(help="Members a generation.")] = None,
    generations: Annotated[int | None, typer.Option(help="Generations of the search.")] = None,
    temporal: Annotated[
        bool | None, typer.Option("--temporal/--no-temporal", help="Whether the objective sees training progress.")
    ] = None,
    report_units: Annotated[int | None, typer.Option(help="Replication units of the final table.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of search and report.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that holds run folders.")] = Path("runs"),
    config: Annotated[Path | None, typer.Option(help="YAML or JSON settings, as in config.json.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting: --set search.datasets=2. Repeatable.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue an interrupted run folder.")] = None,
) -> None:
    """Discover an objective by evolution strategies and rank it beside the hand-written ones."""
    given: dict[str, Any] = {
        "task": task, "data": data, "preset": preset, "init": init, "temporal": temporal, "seed": seed,
        "strategy": {"name": strategy, "population": population},
        "search": {"generations": generations}, "report": {"units": report_units},
    }  # fmt: skip
    settings = None
    with at_the_door():
        from adapters.config import build_config, parse_override, read_config_file

        if resume is not None:
            if _present(given) or config is not None or set_:
                raise ValueError("--resume continues a run with its own settings: give no others beside it")
        else:
            file_layer = read_config_file(config) if config is not None else {}
            overrides = [parse_override(text) for text in set_ or []]
            settings = build_config(file_layer, _present(given), *overrides)
            _check_parts(settings)
            check_folder("--out", out)
            settings = _resolved(settings)
    _run(settings, out, resume)


def _present(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    kept = {name: _present(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def _resolved(settings: Any) -> Any:
    """An objective file by its full path, so that the run can be resumed from anywhere."""
    from adapters.objective_files import is_path

    return (
        settings.model_copy(update={"init": str(Path(settings.init).resolve())}) if is_path(settings.init) else settings
    )


def _check_parts(settings: Any) -> None:
    """Reads every file that a run is made from."""
    from adapters.agents import load_agents
    from adapters.objective_files import learned_start
    from adapters.tuned import load_tuned

    load_agents(settings.task)
    load_tuned(settings.task, settings.data)
    learned_start(settings.init, settings.temporal)


def _run(settings: Any, out: Path, resume: Path | None) -> None:
    with at_the_door():
        from adapters.report import Report
        from adapters.run_folder import RunFolder

        if resume is None:
            folder, finished = RunFolder.create(out, settings), None
        else:
            folder, settings = RunFolder.open(resume)
            finished = Report.load(folder.path)
            if finished is None:
                _check_parts(settings)
        if finished is None:
            folder.lock()
    if finished is not None:
        _announce("Finished run", folder, settings)
        _show(finished, folder, settings)
        return
    try:
        if resume is None:
            with interruptible("The run has not begun."):
                folder.write_config(settings)  # from here on it can be resumed
        report = _searched(folder, settings)
    except typer.Exit as left:
        if resume is None and left.exit_code == REFUSED:
            folder.remove_unused()
        raise
    finally:
        folder.unlock()
    _show(report, folder, settings)


def _searched(folder: Any, settings: Any) -> Any:
    with interruptible(f"Continue with: mpo meta-train --resume {folder}"):
        _announce("Searching", folder, settings)
        from adapters.meta_train import MetaTraining
        from adapters.watch import Silent
        from cli.display import Display, console

        with at_the_door():
            training = MetaTraining(folder, settings, Silent())
            marks = training.marks()
        with Display(console(), marks) as display:
            training.watch = display
            return training.run()


def _announce(doing: str, folder: Any, settings: Any) -> None:
    from cli.display import console

    screen = console()
    screen.print(
        f"{doing} on {settings.task}, {settings.data}, preset {settings.preset}, seed {settings.seed}", markup=False
    )
    screen.print(f"Run folder: {folder}", soft_wrap=True, markup=False)


def _show(report: Any, folder: Any, settings: Any) -> None:
    from cli.display import console, difference_lines, report_table

    screen = console()
    screen.print()
    screen.print(report_table(report))
    screen.print()
    for line in difference_lines(report):
        screen.print(line)
    screen.print()
    screen.print(f"Run folder   {folder}", soft_wrap=True, markup=False)
    screen.print(f"Figures      {folder}/figures/fitness.png, {folder}/figures/maps.png", soft_wrap=True, markup=False)
    screen.print(f"Took         {(time.monotonic() - _PROCESS_START) / 60:.1f} minutes")
    again = f"mpo train --task {settings.task} --data {settings.data} --preset {settings.preset} --objective {folder}"
    screen.print(f"Next         {again}", soft_wrap=True, markup=False)
