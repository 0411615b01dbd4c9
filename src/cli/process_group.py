"""A run of several processes as the command line sees it: they meet, process 0 speaks, all leave together."""

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.validation import FAILED, interruptible, validating_input

if TYPE_CHECKING:
    from adapters.processes.process_group import ProcessGroup
    from mpo_experiments.settings.run_config import RunConfig


@contextlib.contextmanager
def together(process_group: "ProcessGroup | None") -> Iterator[None]:
    """Inside, this process is one of a process_group; without a process_group, nothing changes.

    A process that fails leaves at once. JAX would have it wait for the others, while they wait for what it was to
    compute; left alone, they find their connection closed and fail in turn.
    """
    if process_group is None:
        yield
        return
    try:
        _meet(process_group)
        yield
    except typer.Exit as left:
        if left.exit_code:
            _leave(left.exit_code)
        raise
    except BaseException:
        traceback.print_exc()
        _leave(FAILED)


def _meet(process_group: "ProcessGroup") -> None:
    _quieten()
    if process_group.process == 0:
        typer.echo(f"Waiting for {process_group.processes} processes at {process_group.coordinator} ...", err=True)
    from adapters.processes.distributed import join

    with interruptible("Nothing was written."), validating_input():
        join(process_group)


def _quieten() -> None:
    """Gloo announces its connections on standard output, from C++: from now on only Python writes there."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def follows(process_group: "ProcessGroup | None") -> bool:
    """Whether this process computes its share and neither writes nor shows anything."""
    if process_group is None:
        return False
    from adapters.processes.distributed import leads

    return not leads()


def tell_followers(process_group: "ProcessGroup | None", config: "RunConfig", finished: bool) -> None:
    """Process 0 says what is to be done."""
    if process_group is not None:
        from adapters.processes.distributed import told_by_first

        given = config.model_dump(mode="json", exclude={"provenance"})
        told_by_first({"config": given, "finished": finished})


def follow(settings: "RunConfig | None") -> None:
    """Computes what process 0 computes, in a scratch folder.

    Args:
        settings: what this process was started with; None where it resumes a run and process 0 knows.
    """
    with interruptible("Process 0 of the run says more."), tempfile.TemporaryDirectory() as scratch:
        from adapters.processes.distributed import told_by_first
        from adapters.storage.run_folder import RunFolder
        from mpo_experiments.progress import SilentReporter
        from mpo_experiments.search.meta_train import MetaTraining
        from mpo_experiments.settings.run_config import build_run

        order = told_by_first(None)
        with validating_input():
            config = build_run(order["config"])
            if settings is not None and settings != config:
                raise ValueError("--distributed: process 0 was started with other settings: give the same to all")
        if not order["finished"]:
            MetaTraining(RunFolder(Path(scratch)), config, SilentReporter()).run()
