"""KaTeX, which is stricter than TeX, typesets every formula that `mpo export --format latex` writes."""

import json
from pathlib import Path

import pytest

from helpers.browser import seen_on
from helpers.objectives import export
from mpo_core.losses.catalogue import saved_ids
from mpo_core.losses.ids import OWN_IDS

katex = pytest.importorskip("sphinxcontrib.katex")

IDS = (*OWN_IDS, *saved_ids())  # read before any test runs: some leave objectives of their own in the catalogue

PAGE = """<!doctype html><meta charset="utf-8"><style>body{font:15px sans-serif}div{margin:1em}</style>
<script>%s</script>
<body><script>
const formulas = %s, faults = {};
for (const [id, text] of Object.entries(formulas)) {
  const place = document.body.appendChild(document.createElement("div"));
  place.append(id);
  try {
    const set = place.appendChild(document.createElement("p"));
    set.innerHTML = katex.renderToString(text, { displayMode: true, strict: "error", output: "mathml" });
  } catch (fault) { faults[id] = fault.message; }
}
const told = document.createElement("pre");
told.id = "seen";
told.textContent = JSON.stringify({ faults, set: document.querySelectorAll("math").length });
document.body.append(told);
</script>
"""


def typeset(folder: Path, formulas: dict[str, str]) -> dict:
    """What KaTeX says of each formula that it does not take, and how many it took."""
    script = Path(katex.__file__).with_name("katex.min.js").read_text()
    (folder / "formulas.html").write_text(PAGE % (script, json.dumps(formulas)))
    return seen_on(folder / "formulas.html")


def test_every_formula_is_typeset(tmp_path):
    formulas = {id: export(id, "latex") for id in IDS}
    assert typeset(tmp_path, formulas) == {"faults": {}, "set": len(formulas)}


def test_what_is_no_formula_is_not(tmp_path):
    found = typeset(tmp_path, {"open": r"\frac{1}{2", "unknown": r"\nosuch{x}", "good": r"\frac{1}{2}"})
    assert set(found["faults"]) == {"open", "unknown"}
