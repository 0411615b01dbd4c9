"""Every block of docs/llm.md, run as it stands in a folder with a tiny model; what cannot be is marked as text."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

from helpers.toy_language import toy_folder, toy_rows

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "llm.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_block_runs(tmp_path):
    blocks = BLOCK.findall(DOCS.read_text())
    toy_folder(tmp_path).joinpath("model").rename(tmp_path / "my-model")
    rows = [json.loads(text) for kind, text in blocks if kind == "json"]
    assert rows[0].keys() == toy_rows(1)[0].keys()
    for name, pairs in (("pairs", rows + toy_rows(15, 1)), ("held-out", toy_rows(8, 2))):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in pairs))
    (judge,) = (text for kind, text in blocks if kind == "python" and "sys.stdin" in text)
    (tmp_path / "judge.py").write_text(judge)
    programs = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    scope = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": programs}
    ran = 0
    for kind, text in blocks:
        command = {"sh": ["bash", "-e", "-c", text], "python": [sys.executable, "-c", text]}.get(kind)
        if command is None or text == judge:
            continue
        done = subprocess.run(command, cwd=tmp_path, env=scope, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        ran += 1
    assert ran == 9
    assert len(json.loads((tmp_path / "answers.json").read_text())) == 8
