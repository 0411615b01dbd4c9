"""Chromium without a window and without network: what a page is once its scripts have run."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


def browse(page: Path, *options: str) -> str:
    """What Chromium prints for a page; skips the test where there is none."""
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium")
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = ["chromium", *OPTIONS, profile, *options, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def seen_on(page: Path, *options: str) -> Any:
    """The JSON that the page's scripts have written into its `<pre id="seen">`."""
    told = browse(page, "--virtual-time-budget=3000", "--dump-dom", *options)
    found = re.search(r'<pre id="seen">(.*?)</pre>', told, re.DOTALL)
    assert found is not None, told[-2000:]
    return json.loads(html.unescape(found[1]))
