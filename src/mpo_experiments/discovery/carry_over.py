"""What was found in one cell, used in the others: which objectives carry over to other tasks and kinds of data.

On another task an objective is moved to where that task has its log-probs (`mpo reframe`). In every cell it meets the
best tuned hand-written objective on the cell's own reporting units, which no search has seen. Ours, not the paper's.
"""

import dataclasses
import shutil
from pathlib import Path

from adapters.storage.objective_files import read_objective
from adapters.storage.objective_paths import CARD_NAME
from mpo_core.mirror.learned import has_frame
from mpo_core.mirror.monotone_network import Frame
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey, Entry
from mpo_experiments.benchmark.folder import BenchmarkFolder, run_with
from mpo_experiments.benchmark.measure import cell_choices, report_cell, tune_cell, tuned_choices
from mpo_experiments.benchmark.run import cell_arena
from mpo_experiments.benchmark.summary import required_best
from mpo_experiments.discovery.queue import Discovery
from mpo_experiments.objectives.frames import frame_of
from mpo_experiments.objectives.learned import save_reframed
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.objectives.saved import objective_hash, register_file


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search of a form found in a cell."""

    key: CellKey
    form: str

    def __str__(self) -> str:
        return f"{self.key}, {self.form}"


class Transfer:
    """`transfer/` in the folder of a queue: a benchmark's cells, and under `moved/` the objectives in other frames."""

    def __init__(self, queue: Discovery):
        self.queue, self.path = queue, queue.path / "transfer"

    def cell(self, key: CellKey, finished: dict[CellKey, BenchmarkCell]) -> BenchmarkCell:
        """What was found in the other finished cells, and the best tuned of this one; goes on where it was left."""
        best = required_best(finished[key])
        ids = (best.id, *(self._ready(found, key) for found in self.foreign(key, finished)))
        folder = BenchmarkFolder(self.path)
        before = folder.any_cell(key)
        settings = self._settings(ids)
        if before is not None and not same_conditions(before, settings, finished[key]):
            before = None
        kept = [] if before is None else [one for one in before.objectives if _is_current(one, ids, best)]
        missing = tuple(id for id in ids if id not in {one.id for one in kept})
        if before is not None and not missing:
            return before
        new = self._run(key, missing, finished[key])
        by_id = {one.id: one for one in (*kept, *new.objectives)}
        told = {"settings": settings, "command": settings.command(key)}
        whole = BenchmarkCell.model_validate(dict(new) | told | {"objectives": [by_id[id] for id in ids]})
        folder.save(whole)
        return whole

    def there(self, key: CellKey) -> BenchmarkCell | None:
        """What was run of it before.

        Raises:
            ValueError: it is damaged.
        """
        return BenchmarkFolder(self.path).any_cell(key)

    def foreign(self, key: CellKey, finished: dict[CellKey, BenchmarkCell]) -> list[Found]:
        """All that was found elsewhere."""
        return [Found(other, form) for other in finished if other != key for form in self.queue.settings.forms]

    def place(self, found: Found, key: CellKey) -> Path:
        """Where the objective lies that a cell uses: moved, if its networks have a frame and the task is another."""
        own = self.queue.run_path(found.key, found.form)
        if found.key.task == key.task or not has_frame(read_objective(own)[1]):
            return own
        return self.path / "moved" / f"{own.name}-to-{key.task}"

    def _ready(self, found: Found, key: CellKey) -> str:
        """The id of an objective in a cell; it is moved there, and known to the catalogue, from then on."""
        own, place = self.queue.run_path(found.key, found.form), self.place(found, key)
        if place != own:
            _move(own, frame_of([key.task]), place)
        return register_file(place)

    def _settings(self, ids: tuple[str, ...]) -> BenchmarkSettings:
        return dataclasses.replace(self.queue.settings.zoo, objectives=ids, tuned_from=None)

    def _run(self, key: CellKey, ids: tuple[str, ...], cell: BenchmarkCell) -> BenchmarkCell:
        settings = self._settings(ids)
        testbed, reporter = cell_arena(key, settings), self.queue.reporter
        reporter.note(f"{key}: what was found in the other cells, {len(ids)} objectives")
        saved = tuple(id for id in ids if objective_hash(id) is not None)
        choices = cell_choices(cell)
        if saved:
            choices |= tuned_choices(tune_cell(testbed, saved, key, settings, reporter))
        return report_cell(testbed, key, settings, (choices, {}), reporter)


def _move(own: Path, frame: Frame, place: Path) -> None:
    """Writes an objective in another frame, unless what is there was moved from this very one to this very frame."""
    if (place / CARD_NAME).is_file():
        moved = read_objective(place)[0]["provenance"].get("reframed", {})
        made_of = [moved.get(name) for name in ("sha256", "centre", "width")]
        if made_of == [read_objective(own)[0]["sha256"], frame.centre, frame.width]:
            return
        shutil.rmtree(place)
    save_reframed(NamedObjective(str(own), None, own), frame, place)


def same_conditions(before: BenchmarkCell, settings: BenchmarkSettings, own: BenchmarkCell) -> bool:
    """Whether what was run before is of the units, sizes and agents of the cell that it is compared in."""
    return (
        before.settings is not None
        and before.settings.seed == settings.seed
        and before.config == own.config
        and before.provenance.get("agents") == own.provenance.get("agents")
        and (before.original, before.target, before.units) == (own.original, own.target, own.units)
    )


def _is_current(entry: Entry, ids: tuple[str, ...], best: Entry) -> bool:
    """Whether an entry that was run before is still asked for, and is of the same objective."""
    if entry.id == best.id:
        return run_with(entry) == run_with(best)
    return entry.id in ids and entry.sha256 == objective_hash(entry.id)
