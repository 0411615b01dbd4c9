"""Documented commands and Python blocks, run in order in one folder, at sizes that take seconds."""

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.command_line import invoke
from helpers.documentation import ROOT, Block
from helpers.dry_parse import leaf_of

RUN_ELSEWHERE = {"docs/llm.md": "tests/mpo_experiments/align/test_llm_docs.py"}
"""Pages whose blocks have a test of their own, which needs a language model."""
SHELL_WORDS = ("pip", "export", "cd", "cp")
"""What a block may hold beside `mpo`. Installing is left out here: .ci/run does it, in an empty environment."""
ON_ITS_OWN_TASK = ("render", "reframe", "evaluate")
"""Commands that need a body to draw, a bundled card, or a process that does not know the toy task."""
LEAST = {
    "--preset": "smoke", "--units": "2", "--budget": "2", "--tuning-units": "2", "--repeats": "2", "--rows": "8",
    "--length": "50", "--population": "4", "--search-seeds": "2", "--report-units": "2",
}  # fmt: skip
"""Sizes in place of the documented ones."""
ADDED = ("--preset", "--budget", "--tuning-units", "--repeats", "--rows", "--length", "--units")
"""Sizes that are given where a command leaves them out."""


def small(words: list[str]) -> list[str]:
    """A command on the toy task and at the least sizes, but otherwise as it stands."""
    command, _, _ = leaf_of(words)
    known = {name for one in command.params for name in one.opts}
    words = list(words)
    for at, word in enumerate(words[:-1]):
        if word in LEAST and words[at + 1].isalnum():
            words[at + 1] = LEAST[word]
        if word == "--task" and command.name not in ON_ITS_OWN_TASK:
            words[at + 1] = "reach"
    if "--task" not in words and command.name != "transfer":
        return words
    return words + [
        part for name in ADDED if name in known and name not in words and _fits(command.name, name, words)
        for part in (name, LEAST[name])
    ]  # fmt: skip


def _fits(command: str, name: str, words: list[str]) -> bool:
    if name == "--preset":
        return command not in ("build", "describe", "export")  # rows and length are given there
    if name == "--units":
        return command not in ("show", "distill") or "--train" in words or "--score" in words
    return True


class Session:
    """A folder in which commands follow each other."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch, self._scope = folder, patch, {"__name__": "__main__"}
        patch.chdir(folder)
        patch.setenv("MPO_CACHE_DIR", str(folder / "cache"))
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
        patch.setenv("HF_DATASETS_CACHE", str(folder / "hf"))
        patch.syspath_prepend(folder)

    def run_block(self, block: Block) -> None:
        """Runs a block of shell commands or of Python.

        Raises:
            AssertionError: a command failed.
        """
        if block.kind == "python":
            exec(compile(block.text, block.name, "exec"), self._scope)
            return
        for words in block.commands:
            self.run(words, block.name)

    def run(self, words: list[str], where: str) -> None:
        """Runs one command.

        Raises:
            AssertionError: it failed, or is none of those known here.
        """
        words = [os.path.expandvars(word) for word in words]
        first, rest = words[0], words[1:]
        if first == "mpo":
            found = invoke(*small(words)[1:])
            assert found.exit_code == 0, f"{where}: {shlex.join(small(words))}\n{found.output}\n{found.exception!r}"
        elif first == "export":
            for name, _, value in (word.partition("=") for word in rest):
                self._patch.setenv(name, value)
        elif first == "cd":
            self._patch.chdir(rest[0])
        elif first == "cp":
            shutil.copytree(ROOT / rest[-2], rest[-1])
        else:
            assert first == "pip", f"{where}: {shlex.join(words)} is not known here"


def registries() -> dict[Any, dict]:
    """What pages may register in, as it is now."""
    from adapters.evosax import entries
    from mpo_core.data.fault_registry import FAULTS
    from mpo_core.losses import catalogue
    from mpo_experiments.tasks.registry import TASKS

    return {id(held): (held, dict(held)) for held in (TASKS, catalogue._BY_ID, FAULTS, entries._ENTRIES)}
