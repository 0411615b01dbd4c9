"""`mpo` in this process and in another, and what a refusal looks like."""

import sys
from pathlib import Path

from typer.testing import CliRunner

from cli.app import app

MPO = Path(sys.executable).with_name("mpo")
"""The command as users have it."""


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_refused(code, stdout, stderr, says):
    assert (code, stdout) == (2, "")
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("Error: ")
    assert says in lines[0]
    assert "Traceback" not in stderr
