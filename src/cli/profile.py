"""`mpo profile`: where a generation's time goes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.validation import check_folder, interruptible, validating_input

if TYPE_CHECKING:
    from mpo_experiments.profiling import Profile


def profile(
    task: Annotated[str, typer.Option(help="Task of the search.")],
    preset: Annotated[str, typer.Option(help="Its sizes.")] = "quick",
    data: Annotated[str, typer.Option(help="Preference data.")] = "mixed:0.75",
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting, such as rows.length=100.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Folder for a JAX profiler trace of one generation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Time a generation of a search and its parts, beside the machine's rate of float32 matrix products."""
    with validating_input():
        from mpo_experiments.agents.lookup import check_agents
        from mpo_experiments.settings.nested import parse_override
        from mpo_experiments.settings.run_config import build_single_run

        overrides = [parse_override(text) for text in settings or []]
        config = build_single_run({"task": task, "preset": preset, "data": data}, *overrides)
        check_agents(task, config.kinds)
        if trace is not None:
            check_folder("--trace", trace)
    from mpo_experiments.profiling import profile as measured

    with interruptible("Nothing was written."):
        found = measured(config, lambda line: typer.echo(f"{line} ...", err=True), trace)
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps(dataclasses.asdict(found) | {"share_of_matmul": found.share_of_matmul}, indent=2))
        return
    from cli.display import console, rich_table

    screen = console()
    screen.print(f"{found.task}, preset {found.preset}, {found.jobs} jobs a generation")
    screen.print(rich_table(_table(found)))
    for line in _lines(found):
        screen.print(line, soft_wrap=True)
    if trace is not None:
        screen.print(f"Trace in {trace}: open it with TensorBoard or ui.perfetto.dev", soft_wrap=True)


def _table(found: "Profile"):
    from mpo_experiments.text_table import TextTable

    whole = found.seconds["generation"]
    rows = [
        (name, f"{seconds:.3f} s", f"{seconds / whole:.0%}")
        for name, seconds in found.seconds.items()
        if name != "generation"
    ]
    rows.append(("generation", f"{whole:.3f} s", f"{found.jobs} jobs"))
    return TextTable(
        "", ("part of a generation", "time", "share"), tuple(rows),
        "evaluation is what remains; medians of 3",
    )  # fmt: skip


def _lines(found: "Profile") -> list[str]:
    compiling = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.compile_seconds.items())
    program = (
        "" if found.program_gibibytes is None else f"; the generation's program takes {found.program_gibibytes:.2f}"
    )
    from mpo_experiments.provenance import PRODUCTS_BEFORE

    products = found.products or PRODUCTS_BEFORE
    rates = ", ".join(f"{name} {rate / 1e3:.1f} TFLOP/s" for name, rate in found.matmul_by_size.items())
    steps = ", ".join(
        f"{rate:,.0f}{'' if place else ' steps/s'} at {envs:,}"
        for place, (envs, rate) in enumerate(found.steps_by_envs.items())
    )
    device = [f"Device         {rates}", f"Side by side   {steps} episodes"] if rates else []
    return [
        f"Compilation    {compiling} (seconds from a warm cache are those of reading it)",
        f"Pairs          {found.bank_seconds:.1f} s, once a search",
        f"Inner loops    {found.updates_per_second:,.0f} updates/s = {found.gflops:.1f} GFLOP/s = "
        f"{found.share_of_matmul:.0%} of a float32 matrix product ({found.matmul_gflops:.0f} GFLOP/s)",
        f"Products       precision {products['precision']}, by {products['kernel']}; "
        f"{found.jobs_at_once} side by side on a device",
        f"Evaluation     {found.steps_per_second:,.0f} environment steps/s",
        *device,
        f"Memory         {found.peak_gibibytes:.2f} GiB at the peak{program}",
    ]
