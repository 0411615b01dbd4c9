"""`mpo meta-train`: the main job."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, check_read
from cli.process_group import follow, follows, tell_followers, together
from cli.validation import REFUSED, check_folder, interruptible, validating_input

if TYPE_CHECKING:
    from adapters.processes.process_group import ProcessGroup
    from adapters.storage.run_folder import RunFolder
    from mpo_experiments.runs.report import RunReport
    from mpo_experiments.settings.run_config import RunConfig

_PROCESS_START = time.monotonic()


def meta_train(
    context: Context,
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
    log: Annotated[
        str, typer.Option(help="Beside the run folder's TensorBoard: wandb (an extra), too.")
    ] = "tensorboard",
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
    asked: RunConfig | Path
    with validating_input():
        from adapters.logging.scalars import check_log
        from adapters.processes.process_group import process_group_of
        from mpo_experiments.settings.nested import check_said_once, parse_override
        from mpo_experiments.settings.run_config import build_run, check_overrides, read_config_file

        check_log(log)
        process_group = process_group_of(distributed, coordinator, processes, process)
        if resume is not None:
            if _present(given) or config is not None or set_:
                raise ValueError("--resume continues a run with its own settings: give no others beside it")
            check_read(context, False, "--resume continues a run in its own folder", "out")
            asked = resume
        else:
            file_layer = read_config_file(config) if config is not None else {}
            overrides = [parse_override(text) for text in set_ or []]
            check_said_once(_present(given), overrides)
            asked = build_run(file_layer, _present(given), *overrides)
            check_overrides(overrides, asked.strategy)
            asked.init.check()
    with together(process_group):
        if not isinstance(asked, Path):
            with validating_input():
                _check_parts(asked)
                check_folder("--out", out)
                asked = asked.model_copy(update={"init": asked.init.resolved()})
        if follows(process_group):
            follow(None if isinstance(asked, Path) else asked)
        else:
            _run(asked, out, process_group, log)


def _present(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    kept = {name: _present(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def _check_parts(settings: "RunConfig") -> None:
    """Reads every file that a run is made from."""
    from mpo_experiments.agents.lookup import check_agents
    from mpo_experiments.objectives.learned import learned_start
    from mpo_experiments.tuning.tuned import load_tuned

    for task in settings.tasks:
        check_agents(task, settings.kinds)
        for data in settings.kinds:
            load_tuned(task, data)
    learned_start(settings.init, settings.temporal, settings.reference)


def _run(asked: "RunConfig | Path", out: Path, process_group: "ProcessGroup | None", log: str) -> None:
    """A new run with these settings, or the rest of the run in this folder."""
    with validating_input():
        folder, settings, finished = _opened(asked, out)
    if finished is not None:
        tell_followers(process_group, settings, finished=True)
        _announce("Finished run", folder, settings)
        _show(finished, folder, settings)
        return
    resumed = isinstance(asked, Path)
    try:
        if not resumed:
            with interruptible("The run has not begun."):
                folder.write_config(settings.model_dump(mode="json"))  # from here on it can be resumed
        report = _searched(folder, settings, process_group, log)
    except typer.Exit as left:
        if not resumed and left.exit_code == REFUSED:
            folder.remove_unused()
        raise
    finally:
        folder.unlock()
    _show(report, folder, settings)


def _opened(asked: "RunConfig | Path", out: Path) -> "tuple[RunFolder, RunConfig, RunReport | None]":
    """The run's folder, locked unless the run is finished; the run's settings; and its report if it is finished."""
    from mpo_experiments.runs.folder import create_run, open_run
    from mpo_experiments.runs.report import load_report

    if not isinstance(asked, Path):
        folder = create_run(out, asked)
        folder.lock()
        return folder, asked, None
    folder, settings = open_run(asked)
    finished = load_report(folder.path)
    if finished is None:
        _check_parts(settings)
        folder.lock()
    return folder, settings, finished


def _searched(
    folder: "RunFolder", settings: "RunConfig", process_group: "ProcessGroup | None", log: str
) -> "RunReport":
    with interruptible(f"Continue with: mpo meta-train --resume {folder}"):
        _announce("Searching", folder, settings)
        tell_followers(process_group, settings, finished=False)
        from cli.display import Display, console
        from mpo_experiments.progress import SilentReporter
        from mpo_experiments.search.meta_train import MetaTraining

        with validating_input():
            training = MetaTraining(folder, settings, SilentReporter(), log)
            marks = training.marks()
        with Display(console(), marks) as display:
            training.reporter = display
            return training.run()


def _announce(doing: str, folder: "RunFolder", settings: "RunConfig") -> None:
    from cli.display import console

    screen = console()
    screen.print(f"{doing} on {settings.title}, preset {settings.preset}, seed {settings.seed}", markup=False)
    screen.print(f"Run folder: {folder}", soft_wrap=True, markup=False)


def _show(report: "RunReport", folder: "RunFolder", settings: "RunConfig") -> None:
    from cli.display import console, report_lines

    screen = console()
    screen.print()
    for line in report_lines(report):
        screen.print(line)
    screen.print()
    screen.print(f"Run folder   {folder}", soft_wrap=True, markup=False)
    for name in ("fitness", "maps"):
        screen.print(f"Figure       {folder}/figures/{name}.png", soft_wrap=True, markup=False)
    screen.print(f"Report       {folder}/report.html", soft_wrap=True, markup=False)
    screen.print(f"Took         {(time.monotonic() - _PROCESS_START) / 60:.1f} minutes")
    first = report.cells[0]
    again = f"mpo train --task {first.task} --data {first.data} --preset {settings.preset} --objective {folder}"
    screen.print(f"Next         {again}", soft_wrap=True, markup=False)
