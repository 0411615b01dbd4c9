"""`mpo meta-train`: the main job."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.process_group import follow, follows, tell_followers, together
from cli.validation import REFUSED, check_folder, check_objective, interruptible, validating_input

_PROCESS_START = time.monotonic()


def meta_train(
    task: Annotated[
        str | None, typer.Option(help="Task to discover an objective on (mpo list tasks), or several: hopper,ant.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Preference data, such as mixed:0.75+noisy:0.1, or several: base,mixed:0.75.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Size of everything: smoke, quick or paper.")] = None,
    init: Annotated[
        str | None, typer.Option(help="Where the search starts: id (orpo unless given), id:name=value, or a file.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="Evolution strategy (mpo list strategies).")] = None,
    population: Annotated[int | None, typer.Option(help="Members a generation.")] = None,
    generations: Annotated[int | None, typer.Option(help="Generations of the search.")] = None,
    temporal: Annotated[
        bool | None, typer.Option("--temporal/--no-temporal", help="Whether the objective sees training progress.")
    ] = None,
    reference: Annotated[
        bool | None,
        typer.Option(
            "--reference/--no-reference",
            help="Whether it has a reference policy; a file keeps its own, else it has.",
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Which maps are learned, of phi,psi,g; the others stay as --init has them.")
    ] = None,
    report_units: Annotated[int | None, typer.Option(help="Replication units of the final table.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of search and report.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that holds run folders.")] = Path("runs"),
    config: Annotated[Path | None, typer.Option(help="YAML or JSON settings, as in config.json.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting: --set search.datasets=2. Repeatable.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue an interrupted run folder.")] = None,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Share the run with other processes, started with the same options.")
    ] = False,
    coordinator: Annotated[
        str | None, typer.Option(help="HOST:PORT of process 0, where no scheduler such as SLURM knows it.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="How many processes share the run.")] = None,
    process: Annotated[int | None, typer.Option(help="Which of them this one is, from 0.")] = None,
) -> None:
    """Discover an objective by evolution strategies and rank it beside the hand-written ones."""
    given: dict[str, Any] = {
        "task": task, "data": data, "preset": preset, "init": init, "temporal": temporal,
        "reference": reference, "seed": seed,
        "strategy": {"name": strategy, "population": population},
        "search": {"generations": generations, "maps": search}, "report": {"units": report_units},
    }  # fmt: skip
    settings = None
    with validating_input():
        from adapters.processes.process_group import process_group_of
        from mpo_experiments.settings.nested import parse_override
        from mpo_experiments.settings.run_config import build_run, read_config_file

        process_group = process_group_of(distributed, coordinator, processes, process)
        if resume is not None:
            if _present(given) or config is not None or set_:
                raise ValueError("--resume continues a run with its own settings: give no others beside it")
        else:
            file_layer = read_config_file(config) if config is not None else {}
            overrides = [parse_override(text) for text in set_ or []]
            settings = build_run(file_layer, _present(given), *overrides)
            check_objective(settings.init)
    with together(process_group):
        if settings is not None:
            with validating_input():
                _check_parts(settings)
                check_folder("--out", out)
                settings = settings.model_copy(update={"init": resolved_init(settings.init)})
        if follows(process_group):
            follow(settings)
        else:
            _run(settings, out, resume, process_group)


def _present(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    kept = {name: _present(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def resolved_init(text: str) -> str:
    """Where a search starts, an objective file by its full path, so that the run can be resumed from anywhere."""
    from adapters.storage.objective_paths import PREFIX
    from mpo_experiments.objectives.lookup import is_path

    return str(Path(text).resolve()) if is_path(text) and not text.startswith(PREFIX) else text


def _check_parts(settings: Any) -> None:
    """Reads every file that a run is made from."""
    from mpo_experiments.agents.lookup import load_agents
    from mpo_experiments.objectives.lookup import learned_start
    from mpo_experiments.tuning.tuned import load_tuned

    for task in settings.tasks:
        load_agents(task)
        for data in settings.kinds:
            load_tuned(task, data)
    learned_start(settings.init, settings.temporal, settings.reference)


def _run(settings: Any, out: Path, resume: Path | None, process_group: Any) -> None:
    with validating_input():
        from mpo_experiments.runs.folder import create_run, open_run
        from mpo_experiments.runs.report import load_report

        if resume is None:
            folder, finished = create_run(out, settings), None
        else:
            folder, settings = open_run(resume)
            finished = load_report(folder.path)
            if finished is None:
                _check_parts(settings)
        if finished is None:
            folder.lock()
    if finished is not None:
        tell_followers(process_group, settings, finished=True)
        _announce("Finished run", folder, settings)
        _show(finished, folder, settings)
        return
    try:
        if resume is None:
            with interruptible("The run has not begun."):
                folder.write_config(settings.model_dump(mode="json"))  # from here on it can be resumed
        report = _searched(folder, settings, process_group)
    except typer.Exit as left:
        if resume is None and left.exit_code == REFUSED:
            folder.remove_unused()
        raise
    finally:
        folder.unlock()
    _show(report, folder, settings)


def _searched(folder: Any, settings: Any, process_group: Any) -> Any:
    with interruptible(f"Continue with: mpo meta-train --resume {folder}"):
        _announce("Searching", folder, settings)
        tell_followers(process_group, settings, finished=False)
        from cli.display import Display, console
        from mpo_experiments.progress import SilentReporter
        from mpo_experiments.search.meta_train import MetaTraining

        with validating_input():
            training = MetaTraining(folder, settings, SilentReporter())
            marks = training.marks()
        with Display(console(), marks) as display:
            training.reporter = display
            return training.run()


def _announce(doing: str, folder: Any, settings: Any) -> None:
    from cli.display import console

    screen = console()
    screen.print(f"{doing} on {settings.title}, preset {settings.preset}, seed {settings.seed}", markup=False)
    screen.print(f"Run folder: {folder}", soft_wrap=True, markup=False)


def _show(report: Any, folder: Any, settings: Any) -> None:
    from cli.display import console, report_lines

    screen = console()
    screen.print()
    for line in report_lines(report):
        screen.print(line)
    screen.print()
    screen.print(f"Run folder   {folder}", soft_wrap=True, markup=False)
    screen.print(f"Figures      {folder}/figures/fitness.png, {folder}/figures/maps.png", soft_wrap=True, markup=False)
    screen.print(f"Report       {folder}/report.html", soft_wrap=True, markup=False)
    screen.print(f"Took         {(time.monotonic() - _PROCESS_START) / 60:.1f} minutes")
    first = report.cells[0]
    again = f"mpo train --task {first.task} --data {first.data} --preset {settings.preset} --objective {folder}"
    screen.print(f"Next         {again}", soft_wrap=True, markup=False)
