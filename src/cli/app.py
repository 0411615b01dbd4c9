"""All commands under one roof."""

import sys

import typer

from cli import agents, benchmark, data, export, listing, meta_train, report, train, tune
from cli.door import quiet_exit

app = typer.Typer(
    name="mpo",
    help="Discover and compare preference-optimisation objectives on brax MuJoCo tasks, where the truth is known.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("meta-train")(meta_train.meta_train)
app.command("train")(train.train)
app.command("report")(report.report)
app.command("tune")(tune.tune)
app.command("benchmark")(benchmark.benchmark)
app.command("export")(export.export)
app.add_typer(agents.app, name="agents")
app.add_typer(data.app, name="data")
app.add_typer(listing.app, name="list")


@app.callback()
def _options() -> None:
    """Discover and compare preference-optimisation objectives on brax MuJoCo tasks, where the truth is known."""
    from adapters.plugins import load_plugins

    load_plugins()


def run() -> None:
    """Runs the command line."""
    try:
        app()
    except BrokenPipeError:
        quiet_exit()
        sys.exit(0)
