"""`mpo` as a process of its own, of the source that runs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MPO = (sys.executable, "-c", "import cli; cli.main()")


def run_mpo(arguments: Sequence[str], folder: Path = Path()) -> None:
    """Runs a command in a folder.

    Raises:
        SystemExit: it failed or was interrupted, and has said why; with its status.
    """
    ended = subprocess.run([*MPO, *arguments], check=False, env=os.environ, cwd=folder)
    if ended.returncode:
        raise SystemExit(ended.returncode if ended.returncode > 0 else 128 - ended.returncode)
