"""Pages of parts: whatever folder of parts there is, its page loads nothing and holds its data safely."""

import json
from pathlib import Path

import pytest

import mpo_experiments
from mpo_experiments.page_parts import POLICY, one_page

FOLDERS = sorted(path.parent for path in Path(mpo_experiments.__file__).parent.rglob("page.html"))


def test_there_are_folders_of_parts():
    assert len(FOLDERS) >= 2


@pytest.mark.parametrize("parts", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_page_forbids_its_browser_to_load_anything(parts):
    text = one_page(parts, {"name": "</script><b>"}, "two <agents>")
    head = text.partition("</head>")[0]
    assert head.count(POLICY) == 1
    assert head.index(POLICY) < head.index("<style>")  # it holds for what comes after it
    assert "default-src 'none'" in POLICY
    assert "</script><b>" not in text
    assert "two <agents>" not in text
    assert not any(marker in text for marker in ("<!--", "/*STYLE*/", "/*SCRIPT*/", "/*DATA*/"))


@pytest.mark.parametrize("parts", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_page_refuses_numbers_that_are_not_finite(parts):
    with pytest.raises(ValueError, match="JSON"):
        one_page(parts, {"score": float("nan")})


@pytest.mark.parametrize("parts", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_page_holds_its_data(parts):
    assert json.dumps({"score": [0.25, "ü"]}, separators=(",", ":")) in one_page(parts, {"score": [0.25, "ü"]})
