"""`mpo train`: one objective on one task."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.validation import (
    MOST_UNITS,
    check_file,
    check_folder,
    interruptible,
    objective_named,
    validating_input,
)

if TYPE_CHECKING:
    from mpo_experiments.settings.run_config import CellConfig


def train(
    task: Annotated[str, typer.Option(help="Task to train on.")],
    objective: Annotated[str, typer.Option(help="id, id:name=value,..., an objective file, or a run folder.")],
    data: Annotated[str, typer.Option(help="Preference data.")] = "mixed:0.75",
    preset: Annotated[str, typer.Option(help="Rows, length and inner loop as in this preset.")] = "quick",
    sft_epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of SFT first; the paper's unless given.")
    ] = None,
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Replication units.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the units.")] = 0,
    figure: Annotated[Path | None, typer.Option(help="File for the curves, as PNG.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder: settings, scores, curves, trained policies, TensorBoard; FILE.json: scores alone."),
    ] = None,
    log: Annotated[str, typer.Option(help="Beside the folder's TensorBoard: wandb (an extra), too.")] = "tensorboard",
) -> None:
    """Train a policy with one objective on fresh preference data: what it is worth, and how it works over time."""
    with validating_input():
        from adapters.logging.scalars import check_log
        from mpo_experiments.settings.run_config import build_config

        check_log(log)
        if log == "wandb" and (out is None or out.suffix == ".json"):
            raise ValueError("--log wandb: name the folder of the run with --out FOLDER")
        named = objective_named(objective)
        config = build_config({"task": task, "data": data, "preset": preset, "seed": seed})
        from mpo_experiments.agents.lookup import check_agents

        check_agents(task, [config.data])
        if figure is not None:
            check_file("--figure", figure)
            if figure.suffix != ".png":
                raise ValueError(f"--figure {figure}: name a file that ends in .png")
        if out is not None:
            _check_out(out)
        loaded, total = named.load(), config.inner.epochs
        epochs = named.sft_epochs(total) if sft_epochs is None else sft_epochs
        if epochs > total:
            raise ValueError(f"--sft-epochs {epochs}: preset {preset} has {total} epochs in all")
    from cli.display import Display, console, rich_table
    from mpo_core.evaluation.candidates import Candidate
    from mpo_core.evaluation.statistics import mean_interval
    from mpo_core.seeds import Stream
    from mpo_experiments.scale import SCALE, UNIT
    from mpo_experiments.testbed import Testbed, comparison_settings
    from mpo_experiments.training_report import curve_table, curve_values, divergence_note, draw_curve

    kept: list[Any] = []
    comparison = comparison_settings(config, Stream.SELECTION, units)
    screen = console()
    testbed = Testbed(task)
    with interruptible("Nothing was written."), Display(screen) as display:
        curve = testbed.learning_curve(Candidate(loaded, epochs), comparison, display, kept.append)
        by_epoch = testbed.normalised(curve.return_, comparison.evaluation)
        mode_score = testbed.normalised(curve.final_mode, comparison.evaluation, mode=True)
    sampled, mode = mean_interval(by_epoch[:, -1]), mean_interval(mode_score)
    shown = f"{objective} on {task}, {config.data}"
    screen.print(f"{shown}: normalised score", soft_wrap=True, markup=False)
    screen.print(f"  sampled actions  {sampled}")
    screen.print(f"  mode actions     {mode}")
    screen.print(f"  {epochs} epochs of SFT first, {units} units, mean with 95 % t interval")
    screen.print(f"  {SCALE}")
    screen.print(f"  {UNIT}\n")
    screen.print(rich_table(curve_table(curve, by_epoch, epochs)))
    note = divergence_note(curve, comparison.rows.count // comparison.inner.minibatch)
    if note is not None:
        screen.print(f"\n{note}", markup=False)
    if out is not None:
        found: dict[str, Any] = {"objective": objective, "task": task, "data": config.data, "seed": seed}
        found |= {"sft_epochs": epochs, "sampled": by_epoch[:, -1].tolist(), "mode": mode_score.tolist()}
        found |= {"clamped": float(curve.clamped.mean()), "first_bad_update": curve.first_bad.tolist()}
        found |= {"epochs": curve_values(curve, by_epoch)}
        with interruptible("The scores above were not written."):
            _write(out, found, config, kept, log)
        screen.print(f"Written to {out}", soft_wrap=True, markup=False)
    if figure is not None:
        with interruptible("The figure was not written."):
            draw_curve(figure, curve, by_epoch, epochs, shown)
        screen.print(f"Written to {figure}", soft_wrap=True, markup=False)


def _check_out(out: Path) -> None:
    if out.suffix == ".json":
        check_file("--out", out)
        return
    check_folder("--out", out)
    if (out / "config.json").exists():
        raise ValueError(f"--out {out}: holds a run, which would be lost: name another folder, or a file FILE.json")


def _write(out: Path, found: dict[str, Any], config: "CellConfig", kept: list[Any], log: str) -> None:
    if out.suffix == ".json":
        from adapters.storage.files import write_json

        write_json(out, found)
        return
    from mpo_experiments.trained_folder import write_trained

    write_trained(out, found, config, kept[0], log)
