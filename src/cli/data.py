"""`mpo data`: build preference datasets, say what is in them, export them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.validation import check_folder, interruptible, validating_input

if TYPE_CHECKING:
    from rich.console import Console

    from adapters.storage.dataset_files import DatasetCard, DatasetRecipe, PreferenceDataset
    from mpo_experiments.datasets.build import Built
    from mpo_experiments.progress import Reporter

app = typer.Typer(help="Preference data: build, describe, export.", no_args_is_help=True)

Task = Annotated[str | None, typer.Option(help="Task whose agents make the data.")]
Data = Annotated[str | None, typer.Option(help="Specification, such as mixed:0.75+noisy:0.1 (mpo list data).")]
Rows = Annotated[int | None, typer.Option(help="Rows: pairs of trajectories.", show_default=False)]
Preset = Annotated[
    str | None, typer.Option(help="Rows and length of this preset, unless they are given: smoke, quick or paper.")
]
Length = Annotated[int | None, typer.Option(help="Steps of a trajectory at most.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Seed of the data: 0 unless given.", show_default=False)]
Dataset = Annotated[Path | None, typer.Option(help="A dataset that is built already.")]

FULL, SAMPLE = (1280, 1000), (64, 200)
"""Rows and length unless given: of a dataset, and of a sample to describe."""
ADVICE = "Run the same command again: finished parts are kept, and nothing is half-written."


@app.callback()
def _options() -> None:
    """Preference data: build, describe, export."""


@app.command()
def build(
    task: Task = None,
    data: Data = None,
    preset: Preset = None,
    rows: Rows = None,
    length: Length = None,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="New folder for a copy; the cache has it in any case.")] = None,
) -> None:
    """Roll out a preference dataset (1280 rows of length 1000), or take it from the cache."""
    with validating_input():
        from mpo_experiments.datasets.build import copy_dataset, find_copy

        recipe = _recipe(task, data, (rows, length), seed, _usual(preset, task, FULL))
        cache = _cache()
        if out is not None:
            check_folder("--out", out)
        there = find_copy(out, recipe) if out is not None else None
    from cli.display import Display, console

    screen = console()
    screen.print(f"{recipe.task}, {recipe.data}: {recipe.rows} rows of length {recipe.length}, seed {recipe.seed}")
    with interruptible(ADVICE), Display(screen) as display:
        built = there or _build(recipe, cache, display)
        if out is not None and there is None:
            copy_dataset(built, out)
    _say_built(screen, built, out or built.folder)


@app.command()
def describe(
    task: Task = None,
    data: Data = None,
    preset: Preset = None,
    rows: Rows = None,
    length: Length = None,
    seed: Seed = None,
    dataset: Dataset = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as a JSON object.")] = False,
) -> None:
    """Say what is in a dataset: one that is built, or a small sample (64 rows of length 200) of a kind of data."""
    with validating_input():
        wanted, cache = _wanted(dataset, task, data, preset, (rows, length), seed, SAMPLE), _cache()
    import json

    from adapters.storage.dataset_files import card_json
    from cli.display import Display, console
    from mpo_experiments.progress import SilentReporter

    if as_json:
        with interruptible(ADVICE):
            card = _dataset(wanted, cache, SilentReporter()).card
        typer.echo(json.dumps(card_json(card), indent=2))
        return
    screen = console()
    with interruptible(ADVICE), Display(screen) as display:
        card = _dataset(wanted, cache, display).card
    for name, value in _lines(card).items():
        screen.print(f"{name.replace('_', ' '):<34} {f'{value:.4g}' if isinstance(value, float) else value}")


@app.command()
def export(
    format: Annotated[str, typer.Option(help="npz, parquet (Hugging Face datasets) or minari.")],
    out: Annotated[
        Path | None, typer.Option(help="FILE.npz, FILE.parquet, or Minari's folder of datasets (default: its own).")
    ] = None,
    dataset: Dataset = None,
    task: Task = None,
    data: Data = None,
    preset: Preset = None,
    rows: Rows = None,
    length: Length = None,
    seed: Seed = None,
) -> None:
    """Write a dataset for other tools: one that is built, or one that is built now (1280 rows of length 1000)."""
    with validating_input():
        from adapters.storage.dataset_exports import check_export, minari_root

        wanted, cache = _wanted(dataset, task, data, preset, (rows, length), seed, FULL), _cache()
        check_export(format, out, _recipe_of(wanted))
        check_folder("--out", minari_root(out) if out is None or format == "minari" else out.parent)
    from cli.display import Display, console

    screen = console()
    with interruptible(ADVICE), Display(screen) as display:
        taken = _dataset(wanted, cache, display)
        lines = _export(taken, format, out)
    for line in lines:
        screen.print(line, soft_wrap=True, markup=False)


def _usual(preset: str | None, task: str | None, usual: tuple[int, int]) -> tuple[int, int]:
    """Rows and length unless given: those of a preset for the task, if one is named."""
    if preset is None or task is None:
        return usual
    from mpo_experiments.settings.run_config import build_config

    rows = build_config({"task": task, "preset": preset}).rows
    return rows.count, rows.length


def _recipe(
    task: str | None, data: str | None, size: tuple[int | None, int | None], seed: int | None, usual: tuple[int, int]
) -> "DatasetRecipe":
    """What the options ask for; `usual` are rows and length unless given."""
    from mpo_core.data.specification import parse_data_spec
    from mpo_core.settings import RowSettings

    if task is None or data is None:
        raise ValueError(f"--{'data' if task else 'task'} is not given: a dataset is made from --task and --data")
    from mpo_experiments.tasks.registry import task_spec

    task_spec(task)
    count, length = (default if given is None else given for given, default in zip(size, usual, strict=True))
    spec, rows = parse_data_spec(data), RowSettings(count, length)
    from mpo_experiments.datasets.build import dataset_recipe

    return dataset_recipe(task, spec, rows, seed or 0)


def _wanted(
    dataset: Path | None,
    task: str | None,
    data: str | None,
    preset: str | None,
    size: tuple[int | None, int | None],
    seed: int | None,
    usual: tuple[int, int],
) -> "DatasetRecipe | PreferenceDataset":
    """A built dataset, or the recipe of one."""
    if dataset is None:
        return _recipe(task, data, size, seed, _usual(preset, task, usual))
    if any(given is not None for given in (task, data, preset, *size, seed)):
        raise ValueError(
            "--dataset names a dataset that is built: give no --task, --data, --preset, --rows, --length or --seed"
        )
    from adapters.storage.dataset_files import load_dataset

    return load_dataset(dataset)


def _recipe_of(wanted: "DatasetRecipe | PreferenceDataset") -> "DatasetRecipe":
    from adapters.storage.dataset_files import PreferenceDataset

    return wanted.card if isinstance(wanted, PreferenceDataset) else wanted


def _cache() -> Path:
    from cli.environment import cache_folder, cache_variable

    cache = cache_folder() / "data"
    check_folder(f"{cache_variable()}: cache", cache)
    return cache


def _build(recipe: "DatasetRecipe", cache: Path, reporter: "Reporter") -> "Built":
    from mpo_experiments.datasets.build import build_dataset

    return build_dataset(recipe, cache, reporter)


def _dataset(wanted: "DatasetRecipe | PreferenceDataset", cache: Path, reporter: "Reporter") -> "PreferenceDataset":
    from adapters.storage.dataset_files import PreferenceDataset

    return wanted if isinstance(wanted, PreferenceDataset) else _build(wanted, cache, reporter).dataset


def _export(dataset: "PreferenceDataset", format: str, out: Path | None) -> list[str]:
    """Writes it; what to say about it."""
    from adapters.storage.dataset_exports import (
        MINARI_VARIABLE,
        export_minari,
        export_npz,
        export_parquet,
        minari_id,
        minari_root,
    )

    if format == "minari" or out is None:
        folder = export_minari(dataset, out)
        load = f'minari.load_dataset("{minari_id(dataset.card)}")'
        where = f"with {MINARI_VARIABLE}={minari_root(out)}: " if out is not None else ""
        return [f"Written      {folder}", f"Read it      {where}{load}"]
    if format == "parquet":
        export_parquet(dataset, out)
        load = f'datasets.load_dataset("parquet", data_files="{out}", split="train")'
    else:
        export_npz(dataset, out)
        load = f'numpy.load("{out}"), with its card in {out.with_suffix(".json")}'
    return [f"Written      {out}", f"Read it      {load}"]


def _say_built(screen: "Console", built: "Built", folder: Path) -> None:
    from mpo_experiments.text_table import return_text

    card, numbers = built.dataset.card, built.dataset.card.numbers
    chosen, rejected = (
        f"{return_text(mean)} (sd {return_text(deviation)})"
        for mean, deviation in (
            (numbers.return_chosen_mean, numbers.return_chosen_deviation),
            (numbers.return_rejected_mean, numbers.return_rejected_deviation),
        )
    )
    overlap = "-" if numbers.overlap is None else f"{numbers.overlap:.3f}"
    lines = [
        "It was there already." if built.reused else "",
        f"Return       chosen {chosen}, rejected {rejected}",
        f"Labels       {numbers.labels_flipped:.1%} flipped, {numbers.labels_wrong:.1%} wrong",
        f"Overlap      {overlap} (an original trajectory beats a target one)",
        f"Steps        {numbers.steps_alive_mean:.0f} of {card.length} a trajectory",
        f"Dataset      {folder}",
        f"Next         mpo data export --dataset {folder} --format parquet --out {card.task}.parquet",
    ]
    for line in filter(None, lines):
        screen.print(line, soft_wrap=True, markup=False)


def _lines(card: "DatasetCard") -> dict[str, Any]:
    """What a person wants to know of a card."""
    from adapters.storage.dataset_files import card_json

    shown = ("task", "backend", "data", "rows", "length", "seed")
    return {name: getattr(card, name) for name in shown} | card_json(card)["numbers"] | {"bin_width": card.bin_width}
