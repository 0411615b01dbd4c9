"""Every command of README.md and docs is one that there is; every block is run by a test or says why not."""

import importlib.util
import json
import re
import shlex
import tomllib

import pytest

from helpers.documentation import EXCUSE, ROOT, blocks, excuses, inline_commands, outside_blocks, pages, text_of
from helpers.documented_runs import RUN_ELSEWHERE, SHELL_WORDS
from helpers.dry_parse import check_options, parsed

PAGES = pages()
RUN = ("sh", "console", "python")
DATA = {"json": json.loads, "toml": tomllib.loads}


def mpo_commands(block):
    return [words[words.index("mpo") :] for words in block.commands if "mpo" in words[:4]]


def test_the_readme_is_short():
    assert text_of("README.md").count("\n") <= 120


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_blocks_are_accepted(page):
    for block in blocks(page):
        for words in mpo_commands(block) if block.kind in ("sh", "console", "text") else ():
            try:
                parsed(words)
            except Exception as error:
                pytest.fail(f"{block.name}: {' '.join(words)}: {error}")


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_are_there_with_these_options(page):
    for command in inline_commands(page):
        words = [word for word in shlex.split(command) if word not in ("...", "COMMAND")]
        try:
            check_options(words)
            if "--task" in words:
                parsed(words)
        except Exception as error:
            if type(error).__name__ not in ("MissingParameter", "NoArgsIsHelpError"):
                pytest.fail(f"{page}: {command}: {error}")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page):
    for block in blocks(page):
        if block.kind in DATA:
            DATA[block.kind](block.text)
        elif block.kind == "text":
            lines = block.text.splitlines()
            assert block.reason or not any(line.startswith(("mpo ", "$ ", "python ", "pip ")) for line in lines), block
        else:
            assert block.kind in RUN, f"{block.name}: a block of {block.kind or 'no kind'}"
        if block.kind in ("sh", "console") and not block.reason and page not in RUN_ELSEWHERE:
            unknown = [words for words in block.commands if words[0] not in ("mpo", *SHELL_WORDS)]
            assert not unknown, f"{block.name} is not run: {unknown}"
    indented = [line for line in outside_blocks(page).splitlines() if line.startswith(("    mpo ", "    python "))]
    assert not indented, f"{page}: commands go into fenced blocks: {indented}"


MODULE = re.compile(r"python -m ((?:benchmarks|mpo_core)[\w.]*)")


def test_modules_that_are_to_be_run_are_there():
    named = {name for page in PAGES for name in MODULE.findall(text_of(page))}
    assert len(named) > 5
    assert not {name for name in named if importlib.util.find_spec(name.rstrip(".")) is None}


@pytest.mark.parametrize("page", PAGES)
def test_what_is_excused_is_there(page):
    text = " ".join(EXCUSE.sub("", text_of(page)).split())
    for command in excuses(page):
        assert f"`{command}" in text, f"{page} excuses {command!r}, which it has not"


@pytest.mark.parametrize(("page", "test"), RUN_ELSEWHERE.items())
def test_pages_with_a_test_of_their_own_have_it(page, test):
    assert page.rpartition("/")[2] in (ROOT / test).read_text()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("mpo benchmarks --task hopper", "no command 'benchmarks'"),
        ("mpo benchmark --task hopper --unit 3", "--unit"),
        ("mpo benchmark --task hoper", "unknown task 'hoper': did you mean 'hopper'"),
        ("mpo benchmark --task hopper --units few", "valid integer"),
        ("mpo benchmark --task hopper --data noise:0.2", "noise"),
        ("mpo benchmark --task hopper --objectives sft,dpoo", "dpoo"),
        ("mpo show simpo:beta=2,gama=1", "gama"),
        ("mpo meta-train --task ant --strategy cmaes", "no strategy 'cmaes'"),
        ("mpo meta-train --task ant --preset large", "no preset 'large'"),
        ("mpo export discovered/no-such-one", "discovered/no-such-one"),
    ],
)
def test_a_planted_command_is_found(command, says):
    with pytest.raises(Exception, match=says):
        parsed(shlex.split(command))


def test_marks_belong_to_the_block_below(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text(
        "<!-- not run: for a reason -->\n```sh\nmpo a\n```\n\n```sh\nmpo b \\\n  --c && mpo d # e\n```\n"
        'Text.\n<!-- not run "mpo f": hours -->\n\n```console\n$ mpo g\nout\n```\n'
    )
    monkeypatch.setattr("helpers.documentation.ROOT", tmp_path)
    found = blocks("page.md")
    assert [block.reason for block in found] == ["for a reason", "", ""]
    assert [block.commands for block in found[1:]] == [[["mpo", "b", "--c"], ["mpo", "d"]], [["mpo", "g"]]]
    assert excuses("page.md") == {"mpo f": "hours"}
