"""An objective as a user names it: a loss with settings, an objective file, a run folder, or one that comes with mpo.

A text is parsed once, where it comes in; what comes back knows all that later stops ask. Needs no JAX until then.
"""

import dataclasses
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from adapters.storage.files import read_bytes
from adapters.storage.objective_paths import CARD_NAME, PREFIX, card_path, names_file
from mpo_core.losses.ids import OWN_IDS, unknown_objective
from mpo_core.losses.named_loss import NamedLoss, parse_loss
from mpo_core.names import unknown_name

if TYPE_CHECKING:
    from mpo_core.objective.interface import AbstractObjective

BUNDLED = Path(__file__).parent.parent / "bundled" / "discovered"
ALL, DISCOVERED = "all", "discovered"
"""In a list of objectives: every hand-written loss, and every objective that comes with mpo."""


@dataclasses.dataclass(frozen=True)
class NamedObjective:
    """A loss of the catalogue, or a saved objective by its path: one of the two."""

    text: str
    """As the user wrote it, and as tables show it."""
    loss: NamedLoss | None = None
    path: Path | None = None
    """Its file or folder."""

    def __str__(self) -> str:
        return self.text

    @property
    def is_saved(self) -> bool:
        """Whether it lies in a file, rather than being a loss of the catalogue."""
        return self.loss is None

    @property
    def file(self) -> Path:
        """The path of a saved one."""
        if self.path is None:
            raise ValueError(f"objective {self.text!r} is no file")
        return self.path

    def check(self) -> None:
        """Refuses a file that is not there, before anything large is imported.

        Raises:
            ValueError: it cannot be read.
        """
        if self.path is not None and not self.path.is_dir():
            read_bytes(card_path(self.path), "objective file")

    def card(self) -> dict[str, Any]:
        """objective.json of a saved one.

        Raises:
            ValueError: missing, foreign, damaged, or of another schema version.
        """
        from adapters.storage.objective_files import read_objective

        return read_objective(self.file)[0]

    def load(self) -> "AbstractObjective":
        """The objective itself.

        Raises:
            ValueError: one sentence: what, where, what is allowed.
        """
        if self.loss is not None:
            return self.loss.make()
        from adapters.storage.objective_files import read_objective

        return read_objective(self.file)[1]

    @property
    def temporal(self) -> bool:
        """Whether its loss sees training progress."""
        if self.loss is None:
            return bool(self.card()["temporal"])
        from adapters.expressions.graph import arguments_of, trace_objective

        return "progress" in arguments_of(trace_objective(self.loss.make()))

    def sft_epochs(self, total: int) -> int:
        """Epochs of SFT, of `total`, before it: the paper's, or for a file in proportion those of its search.

        Raises:
            ValueError: its card has no such number.
        """
        if self.loss is not None:
            return self.loss.entry.sft_epochs_of(total)
        from mpo_experiments.objectives.schedule import searched_sft_epochs

        return searched_sft_epochs(self.text, self.card()["provenance"], total)

    def resolved(self) -> "NamedObjective":
        """It with the full path of its file, so that it can be read from anywhere; one that comes with mpo as it is."""
        if self.path is None or (self.text.startswith(PREFIX) and not Path(self.text).exists()):
            return self
        whole = self.path.resolve()
        return NamedObjective(str(whole), None, whole)


def parse_objective(text: str) -> NamedObjective:
    """What a text names; whether a file can be read is left to `NamedObjective.check`.

    Raises:
        ValueError: one sentence: it is no objective's id, or not with such settings, or comes not with mpo.
    """
    id = text.partition(":")[0].strip()
    if _is_path(text, id):
        return NamedObjective(text, None, located(text))
    if id not in _known_ids():
        raise unknown_objective(id, _known_ids())
    return NamedObjective(text, parse_loss(text) if ":" in text else NamedLoss(id))


def parse_objectives(text: str) -> tuple[NamedObjective, ...]:
    """Objectives joined by commas: `dpo:beta=0.1,gamma=2,orpo` are two, for a comma before NAME=VALUE joins settings.

    `all` stands for every hand-written loss, `discovered` for every objective that comes with mpo.

    Raises:
        ValueError: one of them is none, or is named twice.
    """
    groups = {ALL: _known_ids(), DISCOVERED: bundled_names()}
    parts = [part.strip() for part in re.split(r",(?!\s*\w+\s*=)", text)]
    found = tuple(parse_objective(id) for part in parts for id in groups.get(part, [part]))
    if len({one.text for one in found}) < len(found):
        raise ValueError(f"--objectives {text}: names one of them twice")
    return found


def located(text: str) -> Path:
    """Where the objective file lies that a text names: a path, or `discovered/<name>` for one that comes with mpo.

    Raises:
        ValueError: no objective of that name comes with mpo.
    """
    if not text.startswith(PREFIX) or Path(text).exists():
        return Path(text)
    names = bundled_names()
    if text not in names:
        raise unknown_name("objective", text, names, where="mpo list discovered")
    return BUNDLED / text.removeprefix(PREFIX)


def bundled_names() -> list[str]:
    """The ids of the objectives that come with mpo."""
    return [f"{PREFIX}{path.parent.name}" for path in sorted(BUNDLED.glob(f"*/{CARD_NAME}"))]


def _is_path(text: str, id: str) -> bool:
    """Whether it is a file or folder rather than the id of a loss."""
    return names_file(text) or (id not in ("", *_known_ids()) and Path(text).is_dir())


def _known_ids() -> tuple[str, ...]:
    """Of hand-written objectives: those of this package, unless a plug-in has had the catalogue imported."""
    catalogue = sys.modules.get("mpo_core.losses.catalogue")
    return OWN_IDS if catalogue is None else catalogue.objective_ids()


def _parsed(value: Any) -> Any:
    return parse_objective(value) if isinstance(value, str) else value


ObjectiveSetting = Annotated[
    NamedObjective, pydantic.BeforeValidator(_parsed), pydantic.PlainSerializer(str, return_type=str)
]
"""A setting that is an objective: a text in files and on the command line, parsed where the settings are read."""
