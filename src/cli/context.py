"""What was given on a command line, and options that nothing would read."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from typer import Context
else:
    Context = typer.Context.__base__  # what typer really passes


def check_read(context: Context, read: bool, needs: str, *names: str) -> None:
    """Refuses options of the command line that nothing would read.

    Args:
        read: whether they are read.
        needs: why they are not, as a sentence ends.
        names: as the command's function has them.

    Raises:
        ValueError: one of them was given.
    """
    for name in () if read else names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ValueError(f"--{name.replace('_', '-')}: {needs}")
