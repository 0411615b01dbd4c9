"""`mpo transfer`: objectives on a language model that writes English, with a reward that a program computes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.validation import (
    LAST_SEED,
    MOST_SETTINGS,
    MOST_UNITS,
    check_extra,
    check_folder,
    interruptible,
    locked,
    validating_input,
)

EXTRA = ("torch", "trl", "transformers", "tokenizers", "datasets", "accelerate", "vaderSentiment")

if TYPE_CHECKING:
    from mpo_experiments.lm_transfer.folder import TransferFolder
    from mpo_experiments.lm_transfer.settings import TransferSettings


def transfer(
    corpus: Annotated[
        str, typer.Option(help="Texts to learn from: a file of lines or rows, a saved folder, a hub id.")
    ],
    column: Annotated[str, typer.Option(help="Where they stand, in a file that has columns.")] = "text",
    data: Annotated[
        list[str] | None, typer.Option(help="Kinds of data; repeat, or join by commas. Default: two of the suite's.")
    ] = None,
    objectives: Annotated[
        list[str] | None,
        typer.Option(help="id, id:name=value,..., an objective file or a run folder; repeat, or join by commas."),
    ] = None,
    budget: Annotated[
        int, typer.Option(min=1, max=MOST_SETTINGS, help="Settings an objective, its published ones first.")
    ] = 4,
    tuning_units: Annotated[int, typer.Option(min=1, max=MOST_UNITS, help="Tuning units a setting is scored on.")] = 1,
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Reporting units of the table.")] = 3,
    preset: Annotated[str, typer.Option(help="Sizes: quick, large (for a GPU), or smoke to try it out.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the models and of both streams.")] = 0,
    suite: Annotated[
        Path | None, typer.Option(help="summary.json of mpo benchmark, to compare the order of objectives with.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of models, trials and tables; continued if it is there.")] = Path(
        "transfer"
    ),
    only_tables: Annotated[
        bool, typer.Option("--only-tables", help="Run nothing: tables of the kinds of data that are finished.")
    ] = False,
) -> None:
    """Tune and rank objectives on a language model that learned English from a corpus; continues where it was left."""
    with validating_input():
        kinds, settings = _plan(corpus, column, data, objectives, budget, tuning_units, units, preset, seed)
        check_folder("--out", out)
        _check_suite(suite)
        check_extra("mpo transfer", EXTRA)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        os.environ.setdefault("TQDM_DISABLE", "1")
        _check_objectives(settings)
        from mpo_experiments.lm_transfer.folder import TransferFolder

        folder = TransferFolder(out)
    with locked("--out", out):
        _run(folder, kinds, settings, suite, only_tables)


def _run(
    folder: "TransferFolder", kinds: tuple[str, ...], settings: "TransferSettings", suite: Path | None,
    only_tables: bool,
) -> None:  # fmt: skip
    from adapters.torch.small_models import threads
    from adapters.torch.trl_run import quiet
    from cli.display import Display, console
    from cli.results import print_results
    from mpo_experiments.benchmark.summary import standings
    from mpo_experiments.benchmark.tables import overall_table, short_table
    from mpo_experiments.lm_transfer.report import write_transfer
    from mpo_experiments.lm_transfer.run import Experiment
    from mpo_experiments.lm_transfer.trial import Bench
    from mpo_experiments.lm_transfer.world import load_card, load_world

    quiet()
    screen, again = console(), f"Run the same command again: finished models in {folder.path} are kept."
    with interruptible(again), Display(screen) as display, threads(1):
        with validating_input():
            world = None if only_tables else load_world(folder.path, settings, display)
            card = load_card(folder.path, settings) if world is None else world.card
            experiment = Experiment(folder, settings, card, kinds)
            cells = experiment.finished() if world is None else []
            if world is None and not cells:
                raise ValueError(f"--only-tables: in {folder.path} none of these kinds of data is finished")
        if world is not None:
            cells = experiment.run(Bench(world, settings).run, display)
    with interruptible(again), validating_input():
        paths = write_transfer(folder.path, cells, settings, card, suite)
    plain = [one.cell for one in cells]
    tables = [overall_table(plain)] if len(plain) > 1 else []
    tables += [short_table(one, standings([one])) for one in plain]
    print_results(screen, tables, f"Again: {settings.command(kinds)}", paths)


def _plan(
    corpus: str, column: str, data: list[str] | None, objectives: list[str] | None, budget: int, tuning_units: int,
    units: int, preset: str, seed: int,
) -> "tuple[tuple[str, ...], TransferSettings]":  # fmt: skip
    from mpo_core.data.specification import parse_data_spec
    from mpo_core.names import unknown_name
    from mpo_experiments.lm_transfer.settings import (
        DEFAULT_DATA,
        DEFAULT_OBJECTIVES,
        SIZES,
        TransferSettings,
        check_models,
    )
    from mpo_experiments.objectives.named import parse_objectives
    from mpo_experiments.settings.listed import split_data

    if preset not in SIZES:
        raise unknown_name("preset", preset, SIZES)
    given = [part for text in data or DEFAULT_DATA for part in split_data(text)]
    specs = [parse_data_spec(part) for part in given]
    check_models(specs)
    kinds = tuple(dict.fromkeys(map(str, specs)))
    found = DEFAULT_OBJECTIVES if objectives is None else parse_objectives(",".join(objectives))
    return kinds, TransferSettings(corpus, column, found, budget, tuning_units, units, preset, seed)


def _check_suite(suite: Path | None) -> None:
    if suite is not None:
        from adapters.storage.files import read_json
        from mpo_experiments.lm_transfer.tables import agreement_table

        agreement_table([], read_json(suite, "benchmark summary"), str(suite))


def _check_objectives(settings: "TransferSettings") -> None:
    """Refuses, before anything is trained, an objective that a language-model trainer cannot take."""
    from mpo_experiments.align.loss import torch_loss

    for one in settings.objectives:
        one.check()
        one.sft_epochs(settings.sizes.epochs)
        groups = one.loss is not None and one.loss.entry.sees_groups
        if groups or torch_loss(one).needs_margin:
            raise ValueError(
                f"objective {one.text!r} reads margins of reward or groups, which this experiment does not give"
            )
