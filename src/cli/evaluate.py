"""`mpo evaluate`: a loss in a file of a dozen lines, scored in a process of its own."""

import time
from pathlib import Path
from typing import Annotated

import typer

from cli.validation import LAST_SEED, MOST_UNITS, check_file, interruptible, validating_input
from mpo_experiments.evaluator.request import GIGABYTES, LEAST_GIGABYTES, SECONDS, UNITS


def evaluate(
    loss_file: Annotated[
        Path, typer.Argument(help="Python file: `def loss(pair, progress)`, one number a row; or an AbstractObjective.")
    ],
    task: Annotated[str, typer.Option(help="Task to train on.")] = "halfcheetah",
    data: Annotated[str, typer.Option(help="Preference data.")] = "mixed:0.75",
    preset: Annotated[str, typer.Option(help="Rows, length and inner loop as in this preset.")] = "quick",
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Replication units.")] = UNITS,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the units.")] = 0,
    sft_epochs: Annotated[int, typer.Option(min=0, help="Epochs of SFT before the loss.")] = 0,
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="On the units of the final table: for the last word, not for the search."),
    ] = False,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Time limit, by the clock.")] = SECONDS,
    memory_gb: Annotated[float, typer.Option(min=LEAST_GIGABYTES, max=4096, help="Memory limit.")] = GIGABYTES,
    timings: Annotated[bool, typer.Option("--timings", help="Put the seconds it took in the JSON, too.")] = False,
    out: Annotated[Path | None, typer.Option(help="File for the JSON, which is printed as well.")] = None,
) -> None:
    """Score a loss that is written as a dozen lines of JAX; prints JSON.

    The file is code: it runs under your account, in a process of its own with limits of time and memory, in an empty
    folder, without your environment variables and, where Linux permits, without network.
    """
    with validating_input():
        from adapters.storage.files import read_bytes
        from mpo_experiments.agents.lookup import check_agents
        from mpo_experiments.evaluator.request import EvaluationRequest
        from mpo_experiments.settings.run_config import build_config

        read_bytes(loss_file, "loss file")
        config = build_config({"task": task, "data": data, "preset": preset, "seed": seed})
        check_agents(task, [config.data])
        if sft_epochs > config.inner.epochs:
            raise ValueError(f"--sft-epochs {sft_epochs}: preset {preset} has {config.inner.epochs} epochs in all")
        if out is not None:
            check_file("--out", out)
        request = EvaluationRequest(task, config.data, preset, units, seed, sft_epochs, held_out)
    from adapters.processes.confinement import Limits
    from mpo_experiments.evaluator.run import evaluate_file

    limits, began = Limits(seconds, int(memory_gb * 1e9)), time.monotonic()
    with interruptible("Nothing was written."), validating_input():
        found = evaluate_file(loss_file, request, limits)
    took = time.monotonic() - began
    if timings:
        found["seconds"] = round(took, 1)
    import json

    text = json.dumps(found, indent=2, sort_keys=True)
    typer.echo(text)
    low, high = found["interval"]
    typer.echo(
        f"Score {found['score']:.3f} [{low:.3f}, {high:.3f}], mode actions {found['mode_score']:.3f}; "
        f"took {took:.0f} s, network {found['network']}",
        err=True,
    )
    if out is not None:
        from adapters.storage.files import write_whole

        with interruptible("The JSON above was not written."):
            write_whole(out, f"{text}\n".encode())
        typer.echo(f"Written to {out}", err=True)
