"""Files of a finished run truncated, flipped, emptied, removed: refused, recovered from, or of no consequence."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
import typer
from typer.testing import CliRunner

from cli import meta_train
from cli.app import app
from mpo_experiments.search.meta_train import MetaTraining
from mpo_experiments.testbed import Testbed

KINDS = ("truncated", "flipped", "emptied", "removed")
SEALED = ("config.json", "report.json", "objective.json", "objective.safetensors")
"""What results follow from: drawn more often than the rest."""
COMMANDS = ("report", "resume", "train", "config")
CASES, MORE_CASES = 60, 2000


class Bench:
    """A run folder that is damaged and mended, and every command that reads one, stopped before its work."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self.folder, self._patch, self._seen = folder, patch, []
        self.content = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        tensors = {path: content for path, content in self.content.items() if path.parent.name == "checkpoints"}
        loaded = {
            int(path.stem): safetensors.numpy.load(content)
            for path, content in tensors.items()
            if path.suffix == ".safetensors"
        }
        self.states = {number: [found[name] for name in sorted(found)] for number, found in loaded.items()}
        patch.setattr(MetaTraining, "run", lambda training: self._resumed(training))
        patch.setattr(Testbed, "learning_curve", lambda testbed, candidate, *_: self._stop(candidate))
        self.true = {command: self.run(command) for command in COMMANDS}

    def run(self, command: str):
        """What a command says, and what it has read."""
        options = {
            "report": ("report", self.folder),
            "resume": ("meta-train", "--resume", self.folder),
            "train": ("train", "--task", "halfcheetah", "--preset", "smoke", "--objective", self.folder),
            "config": ("meta-train", "--config", self.folder / "config.json", "--out", self.folder.parent / "out"),
        }
        self._seen = []
        with self._patch.context() as patch:
            if command == "config":
                patch.setattr(meta_train, "_run", lambda settings, *_: self._stop(settings))
            found = CliRunner().invoke(app, [str(option) for option in options[command]])
        return found, self._seen

    def damage(self, path: Path, kind: str, rng: np.random.Generator) -> None:
        """Damages one file."""
        content = bytearray(self.content[path])
        if kind == "removed":
            path.unlink()
            return
        if kind == "flipped" and content:
            content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        elif kind != "flipped":
            content = content[: 0 if kind == "emptied" else rng.integers(max(len(content), 1))]
        path.write_bytes(content)

    def mend(self) -> None:
        """As it was."""
        for path, content in self.content.items():
            path.write_bytes(content)
        assert {path for path in self.folder.rglob("*") if path.is_file()} == set(self.content)

    def _stop(self, found) -> None:
        self._seen.append(found)
        raise typer.Exit(0)

    def _resumed(self, training: MetaTraining) -> None:
        folder, notes = training.folder, []
        saved = folder.load_checkpoint(next(iter(self.states.values())), notes.append)
        folder.keep_metrics_before(saved[0] if saved else 0, notes.append)
        self._stop((training.config, saved, folder.metrics(), notes))


def same(ours, theirs) -> bool:
    return jax.tree.structure(ours) == jax.tree.structure(theirs) and all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    )


def said(result) -> list[str]:
    """What a command printed, but for how long it took."""
    return [line for line in result.stdout.splitlines() if not line.startswith("Took ")]


def check(bench: Bench, command: str) -> str:
    """A command is refused in a sentence, or has read what was written; says which."""
    result, seen = bench.run(command)
    assert isinstance(result.exception, SystemExit | None), repr(result.exception)
    if result.exit_code == 2:
        assert len(result.stderr.splitlines()) == 1
        assert result.stderr.startswith("Error: ")
        assert str(bench.folder) in result.stderr
        return "refused"
    assert result.exit_code == 0
    expected, read = bench.true[command]
    if command == "resume" and seen:
        check_resumed(bench, *seen[0])
        return "resumed"
    assert said(result) == said(expected)
    assert same(seen, read)
    return "unharmed"


def check_resumed(bench: Bench, config, saved, metrics, notes) -> None:
    """A run without a report goes on: from its newest checkpoint, or with a warning from an older one or anew."""
    settings = {"provenance": {}}
    (wanted,) = bench.true["config"][1]
    assert config.model_copy(update=settings) == wanted.model_copy(update=settings)
    newest = max(bench.states)
    if saved is None or saved[0] < newest:
        assert any("cannot be used" in note for note in notes)
    if saved is not None:
        assert same(saved[1], bench.states[saved[0]])
    done = saved[0] if saved else 0
    assert [record["generation"] for record in metrics] == list(range(done)) or any("lost" in note for note in notes)


@pytest.fixture(scope="module")
def bench(smoke_run, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield Bench(shutil.copytree(smoke_run[1], tmp_path_factory.mktemp("copies") / "run"), patch)


def corrupted(bench: Bench, cases: int, seed: int) -> dict[str, int]:
    """How commands answer to so many random damages."""
    rng, answers = np.random.default_rng(seed), dict.fromkeys(("refused", "resumed", "unharmed"), 0)
    files = list(bench.content)
    weight = np.array([3.0 if path.name in SEALED else 1.0 for path in files])
    for _ in range(cases):
        path, kind = files[rng.choice(len(files), p=weight / weight.sum())], KINDS[rng.integers(len(KINDS))]
        bench.damage(path, kind, rng)
        if rng.random() < 0.3:  # a run that is not finished, so that checkpoints matter
            (bench.folder / "report.json").unlink(missing_ok=True)
        try:
            for command in COMMANDS:
                answers[check(bench, command)] += 1
        finally:
            bench.mend()
    return answers


def test_undamaged_a_run_is_read_by_every_command(bench):
    assert [check(bench, command) for command in COMMANDS] == ["unharmed"] * 4
    assert bench.true["train"][1]
    assert bench.true["config"][1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "command"), [*zip(SEALED, ("config", "report", "train", "train"), strict=True)])
def test_what_results_follow_from_is_never_read_damaged(bench, name, command, kind):
    try:
        bench.damage(bench.folder / name, kind, np.random.default_rng(1))
        assert check(bench, command) == "refused"
    finally:
        bench.mend()


def test_a_damaged_run_is_refused_or_recovered(bench):
    answers = corrupted(bench, CASES, seed=0)
    assert min(answers.values()) > 0, answers


@pytest.mark.slow
def test_a_damaged_run_is_refused_or_recovered_at_length(bench):
    answers = corrupted(bench, MORE_CASES, seed=1)
    assert min(answers.values()) > 20, answers
