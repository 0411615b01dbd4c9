"""All commands under one roof."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from adapters.processes.signals import leave_in_peace
from cli import (
    agents,
    align,
    benchmark,
    compare,
    data,
    diagnose,
    discover,
    distill,
    evaluate,
    export,
    listing,
    meta_train,
    profile,
    reframe,
    render,
    report,
    show,
    train,
    transfer,
    tune,
)
from cli.completion import complete_values
from cli.validation import FAILED, quiet_exit, refuse

_UsageError: Any = typer.BadParameter.__base__  # click's, which typer ships under a private name


class _OneSentence(TyperGroup):
    """Commands whose usage errors read like all other refusals, and whose values a shell can complete."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            for command in _command_and_those_below(found):
                complete_values(command)
                _without_type(command.get_params(ctx))
        return found

    def get_params(self, ctx: Any) -> Any:
        return _without_type(super().get_params(ctx))

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            found = super().main(*args, standalone_mode=False, **extra)
        except _UsageError as error:
            if not standalone_mode:
                raise
            sys.exit(_refusal(error).exit_code)
        if not standalone_mode:
            return found
        sys.exit(found if isinstance(found, int) else 0)


def _command_and_those_below(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _command_and_those_below(below)


def _without_type(parameters: list[Any]) -> list[Any]:
    """Help says `--resume`, not `--resume <bool>`, which reads as if a flag took a value."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


def _refusal(error: Any) -> typer.Exit:
    command = error.ctx.command_path if error.ctx else "mpo"
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        error.show()
        return typer.Exit(error.exit_code)
    said = error.format_message().strip().rstrip(".")
    return refuse(f"{said[:1].lower()}{said[1:]} ({command} --help shows what there is)")


app = typer.Typer(
    cls=_OneSentence,
    name="mpo",
    help="Discover and compare preference-optimisation objectives on brax MuJoCo tasks, where the truth is known.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("meta-train")(meta_train.meta_train)
app.command("train")(train.train)
app.command("report")(report.report)
app.command("diagnose")(diagnose.diagnose)
app.command("evaluate")(evaluate.evaluate)
app.command("tune")(tune.tune)
app.command("benchmark")(benchmark.benchmark)
app.command("transfer")(transfer.transfer)
app.command("discover")(discover.discover)
app.command("compare")(compare.compare)
app.command("distill")(distill.distill)
app.command("reframe")(reframe.reframe)
app.command("export")(export.export)
app.command("render")(render.render)
app.command("show")(show.show)
app.command("profile")(profile.profile)
app.add_typer(agents.app, name="agents")
app.add_typer(align.app, name="align")
app.add_typer(data.app, name="data")
app.add_typer(listing.app, name="list")


def _say_version(wanted: bool) -> bool:
    if wanted:
        import mpo_core

        typer.echo(f"mpo {mpo_core.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Discover and compare preference-optimisation objectives on brax MuJoCo tasks, where the truth is known."""
    from mpo_experiments.plugins import load_plugins

    load_plugins()


def run() -> None:
    """Runs the command line."""
    try:
        app()
    except BrokenPipeError:
        quiet_exit()
        sys.exit(0)
    except OSError as error:  # where results are shown: files that are written name themselves
        quiet_exit()
        print(f"Error: {error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(FAILED)
    finally:
        leave_in_peace()
