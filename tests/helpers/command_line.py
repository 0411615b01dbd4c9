"""`mpo` in this process, and what a refusal looks like."""

from typer.testing import CliRunner

from cli.app import app


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_refused(code, stdout, stderr, says):
    assert (code, stdout) == (2, "")
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("Error: ")
    assert says in lines[0]
    assert "Traceback" not in stderr
