"""What docs/generate_objectives.py wrote from the classes is what it would write now; a class says what it is once."""

import runpy
from pathlib import Path

import pytest

from mpo_core.losses.catalogue import own_entries
from mpo_core.losses.ids import OWN_IDS
from mpo_core.losses.members import Member, member_ids

SCRIPT = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "generate_objectives.py"))
ANEW = "run `python docs/generate_objectives.py`"


@pytest.mark.parametrize(("path", "text"), [("IDS", "ids_text"), ("TABLE", "table_text")])
def test_the_written_files_are_those_of_the_classes(path, text):
    assert SCRIPT[path].read_text() == SCRIPT[text](), ANEW


def test_the_page_has_each_objective_with_its_settings():
    page = SCRIPT["TABLE"].read_text()
    for entry in own_entries():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{entry.id}` |")]
        assert all(f"`{name}` " in line for name in entry.settings)
        assert entry.citation in line
    assert "`epsilon` 0.1, in [0, 0.5); tuned 0.0316 to 0.316" in page


def test_ids_known_without_jax_are_those_of_the_catalogue():
    assert tuple(entry.id for entry in own_entries()) == OWN_IDS


@pytest.mark.parametrize("entry", own_entries(), ids=lambda entry: entry.id)
def test_a_class_says_what_it_is_once(entry):
    loss = entry.factory
    assert (loss.card.no_member is None) == issubclass(loss, Member) == (entry.id in member_ids())
    formula = entry.formula.split(",")[0]
    assert formula in " ".join(loss.__doc__.split())
