"""A judge of a user's own: a command that prefers one of two answers; its verdicts are kept as they come."""

import contextlib
import dataclasses
import hashlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mpo_core.evaluation.statistics import Interval, share_interval
from mpo_core.failures import WorkFailed
from mpo_experiments.align.preference_rows import plain

VERDICTS = ("1", "2")


@dataclasses.dataclass(frozen=True)
class Judge:
    """How answers are judged."""

    command: str
    """A shell command that reads lines of JSON with `prompt`, `output_1`, `output_2` and writes 1 or 2, a line for
    each."""
    seconds: float = 3600.0
    """After so many it is stopped."""
    verdicts: Path | None = None
    """File of verdicts, which are not asked for again; None: none are kept."""
    seed: int = 0
    """Of the order in which it sees two answers."""

    @property
    def kept(self) -> str:
        """A message's end on what is left of its work."""
        return (
            ""
            if self.verdicts is None
            else f"; the verdicts before that are in {self.verdicts}, the same again goes on"
        )


def win_rate(judge: Judge, prompts: list[Any], ours: list[str], theirs: list[str]) -> Interval:
    """The share of prompts where a judge prefers ours, with Wilson's interval; equal answers, a tie, count half.

    Which answer it sees first is drawn for each prompt. Equal answers are not asked for.

    Raises:
        WorkFailed: it failed, took too long, or wrote something else.
    """
    swapped = np.random.default_rng(judge.seed).random(len(prompts)) < 0.5
    lines = [
        json.dumps(
            {"prompt": plain(prompt), "output_1": second if swap else first, "output_2": first if swap else second}
        )
        for prompt, first, second, swap in zip(prompts, ours, theirs, swapped, strict=True)
    ]
    keys = [hashlib.sha256(f"{judge.command}\n{line}".encode()).hexdigest() for line in lines]
    found = _known(judge.verdicts)
    asked = [at for at, key in enumerate(keys) if ours[at] != theirs[at] and key not in found]
    if asked:
        said = _asked(judge, [lines[at] for at in asked], [keys[at] for at in asked])
        found |= {keys[at]: verdict for at, verdict in zip(asked, said, strict=True)}
    wins = [0.5 if ours[at] == theirs[at] else float((found[key] == "1") != swapped[at]) for at, key in enumerate(keys)]
    return share_interval(np.array(wins))


def _known(path: Path | None) -> dict[str, str]:
    """Verdicts by what was asked; a line that is torn is none."""
    found: dict[str, str] = {}
    if path is None or not path.is_file():
        return found
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["verdict"] in VERDICTS:
                found[str(row["asked"])] = row["verdict"]
    return found


def _asked(judge: Judge, lines: list[str], keys: list[str]) -> list[str]:
    """What the judge says of each line; a verdict is kept as it comes."""
    verdicts: list[str] = []
    with _record(judge.verdicts) as record, _started(judge) as (process, errors):
        until = time.monotonic() + judge.seconds
        try:
            for token in _tokens(judge, process, lines, until):
                verdicts.append(token)
                _check_verdicts(judge, record, verdicts, len(keys))
                record.write(json.dumps({"asked": keys[len(verdicts) - 1], "verdict": token}).encode() + b"\n")
                record.flush()
            process.wait(max(until - time.monotonic(), 0.1))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise WorkFailed(
                f"the judge {judge.command!r} was stopped after {judge.seconds:g} seconds, with {len(verdicts)} of "
                f"{len(lines)} verdicts (--judge-seconds sets the limit){judge.kept}"
            ) from None
        errors.seek(0)
        said = " ".join(errors.read().decode("utf-8", "replace").split())[-200:]
        if process.returncode:
            raise WorkFailed(
                f"the judge {judge.command!r} ended with exit code {process.returncode} "
                f"({said or 'it said nothing'}){judge.kept}"
            )
        if len(verdicts) < len(lines):
            raise _misunderstood(judge, record, f"{len(verdicts)} verdicts for {len(lines)} pairs")
    return verdicts


def _check_verdicts(judge: Judge, record: "_Record", verdicts: list[str], most: int) -> None:
    """Refuses, as soon as it comes, a word that is no verdict, or one verdict too many."""
    if verdicts[-1] not in VERDICTS:
        raise _misunderstood(judge, record, f"{verdicts[-1][:40]!r} as a verdict")
    if len(verdicts) > most:
        raise _misunderstood(judge, record, f"more than {most} verdicts for {most} pairs")


def _misunderstood(judge: Judge, record: "_Record", what: str) -> WorkFailed:
    """The failure of a judge of whose verdicts it is not known whose they are: what was kept of them goes."""
    record.forget()
    return WorkFailed(f"the judge {judge.command!r} wrote {what}: it must write 1 or 2 for each line that it reads")


def _tokens(judge: Judge, process: Any, lines: list[str], until: float) -> Iterator[str]:
    """Words that a judge writes, until it has ended.

    Raises:
        TimeoutError: it goes on for longer.
    """
    heard: queue.Queue[bytes | None] = queue.Queue()

    def write() -> None:
        with contextlib.suppress(OSError):  # it has ended, or reads no further
            for line in lines:
                process.stdin.write(f"{line}\n".encode())
            process.stdin.close()

    def read() -> None:
        for line in process.stdout:
            heard.put(line)
        heard.put(None)

    for task in (write, read):
        threading.Thread(target=task, daemon=True).start()
    while True:
        try:
            line = heard.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            return
        yield from line.decode("utf-8", "replace").split()


@contextlib.contextmanager
def _started(judge: Judge) -> Iterator[tuple[Any, BinaryIO]]:
    """The judge's process, which is ended with all that it started."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            judge.command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            yield process, errors  # pyright: ignore[reportReturnType]
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class _Record:
    """A file that verdicts are added to."""

    def __init__(self, file: BinaryIO):
        self._file, self._before = file, file.tell()
        self.write, self.flush = file.write, file.flush

    def forget(self) -> None:
        """Takes out what was added."""
        self._file.flush()
        self._file.truncate(self._before)


@contextlib.contextmanager
def _record(path: Path | None) -> Iterator[_Record]:
    if path is None:
        with tempfile.TemporaryFile() as file:
            yield _Record(file)  # pyright: ignore[reportArgumentType]
        return
    with path.open("ab") as file:
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            file.write(b"\n")
        yield _Record(file)
