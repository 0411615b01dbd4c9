"""The `mpo` command line: Typer commands, a file each, and no algorithm."""


def main() -> None:
    """Entry point of the console script."""
    from cli.environment import prepare

    prepare()
    from cli.app import run

    run()
