"""What is written down about the hand-written objectives, from their classes: the ids known without JAX, and a table.

`python docs/generate_objectives.py` writes both files anew; a test compares them with what this script would write.
"""

import itertools
import textwrap
from pathlib import Path

from mpo_core.losses import card
from mpo_core.losses.catalogue import own_entries
from mpo_core.losses.entry import CatalogueEntry, Setting
from mpo_core.losses.members import why_not_member

ROOT = Path(__file__).parents[1]
IDS, TABLE = ROOT / "src" / "mpo_core" / "losses" / "own_ids.py", ROOT / "docs" / "objectives.md"
INTRODUCTION = """\
# The hand-written objectives

Written by `python docs/generate_objectives.py` from the classes in `src/mpo_core/losses/families`; change them there.
`mpo list objectives` shows the same, `--json` with domains and search ranges.

{notation}

Behind each setting stand its default, the values that it may take (an end at a round bracket is not one of them), and
where `mpo tune` begins to search it, as published for language models if it was: one that multiplies sums over a
trajectory is divided by tokens / 100. Any other value is refused:
`objective 'robust_dpo': epsilon must be at least 0 and below 0.5, not 0.5`.

*Member* is the place in the Mirror Preference Optimization class: M0 exact without, MR exact with reference; -bar on
mean token log-probs; ~row up to a constant of the row, w up to its weight. *Needs* says what is read beside the
log-probs and lengths of the pair.
"""
HEAD = "| id | loss | settings | needs | member | source |\n|---|---|---|---|---|---|"


def ids_text() -> str:
    """The module that holds the ids."""
    ids = ", ".join(f'"{entry.id}"' for entry in own_entries()) + ","
    lines = textwrap.indent(textwrap.fill(ids, 112), "    ")
    head = '"""The ids of this package\'s hand-written objectives; written by docs/generate_objectives.py."""'
    return f"{head}\n\n# fmt: off\nOWN_IDS = (\n{lines}\n)\n# fmt: on\n"


def table_text() -> str:
    """The page of the documentation."""
    notation = " ".join((card.__doc__ or "").split("\n\n")[1].split())
    parts = [INTRODUCTION.format(notation=textwrap.fill(notation, 120))]
    for family, entries in itertools.groupby(own_entries(), lambda entry: entry.family):
        parts.append("\n".join([f"## {family}\n", HEAD, *map(_row, entries)]) + "\n")
    return "\n".join(parts)


def _row(entry: CatalogueEntry) -> str:
    reads = {"reference": entry.needs_reference, "rewards": entry.sees_rewards, "groups": entry.sees_groups}
    reason = why_not_member(entry.id)
    cells = (
        f"`{entry.id}`", f"`{entry.formula}`", "<br>".join(map(_setting, entry.settings.values())) or "none",
        ", ".join(need for need, is_read in reads.items() if is_read),
        f"{entry.member}: {reason}" if reason else entry.member, entry.citation,
    )  # fmt: skip
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _setting(one: Setting) -> str:
    default = "open" if one.default is None else one.default if isinstance(one.default, str) else f"{one.default:.7g}"
    allowed = " or ".join(one.words) if one.domain is None else f"in {one.domain.interval}"
    searched = f"; tuned {one.tuning.low:.3g} to {one.tuning.high:.3g}" if one.tuning else ""
    return f"`{one.name}` {default}, {allowed}{searched}"


if __name__ == "__main__":
    IDS.write_text(ids_text())
    TABLE.write_text(table_text())
