"""The blocks of README.md and docs run from top to bottom, and the commands that their tables ask for."""

import shlex

import pytest

from helpers.documentation import BLOCK, blocks, excuses, pages, table_commands, text_of
from helpers.documented_runs import RUN_ELSEWHERE, Session, registries

SLOW = {
    "docs/quickstart.md": "the commands of the README",
    "docs/extending.md": "agents are trained",
    "docs/evaluate.md": "a process for each loss",
    "docs/guides/explain.md": "many figures",
    "docs/guides/benchmark.md": "as in the README, but two kinds of data",
}
"""Pages whose blocks take more than some seconds, and why."""


def to_run(page):
    return [block for block in blocks(page) if block.kind in ("sh", "console", "python") and not block.reason]


PAGES = [page for page in pages() if to_run(page) and page not in RUN_ELSEWHERE]


@pytest.fixture
def session(reach, tmp_path, monkeypatch):
    """An empty folder; whatever a page registers is forgotten afterwards."""
    kept = registries()
    yield Session(tmp_path, monkeypatch)
    for held, before in kept.values():
        held.clear()
        held.update(before)


@pytest.mark.parametrize("page", [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in PAGES])
def test_blocks_run(page, session):
    if page == "docs/evaluate.md":
        write_losses(session)
    for block in to_run(page):
        if "import torch" in block.text:
            pytest.importorskip("torch")
        session.run_block(block)


def write_losses(session):
    """The loss that docs/evaluate.md shows, under the names that it gives it."""
    shown = next(text for _, kind, text in BLOCK.findall(text_of("docs/evaluate.md")) if kind == "python")
    for name in ("my_loss.py", "best.py"):
        (session.folder / name).write_text(shown)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages() if table_commands(page)])
def test_commands_in_tables_run(page, session):
    write_losses(session)
    for seed in (1, 2):
        session.run(shlex.split(f"mpo meta-train --task reach --seed {seed}"), "before")
    runs = [str(path) for path in (session.folder / "runs").iterdir()]
    failed = []
    for command in table_commands(page):
        if not any(command.startswith(beginning) for beginning in excuses(page)):
            whole = command.replace("runs/...", runs[0], 1).replace("runs/...", runs[1])
            whole = whole.replace("...", "--task hopper --data mixed:0.75")
            try:
                session.run(shlex.split(whole), page)
            except AssertionError as error:
                failed.append(str(error))
    assert not failed, "\n".join(failed)
