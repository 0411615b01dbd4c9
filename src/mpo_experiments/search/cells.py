"""What a search is on: combinations of a task and a kind of data, each with its own agents, pairs and constants."""

import dataclasses
from functools import cached_property

from mpo_core.data.generate_pairs import generate_pairs
from mpo_core.data.pair_bank import PairBank
from mpo_core.data.specification import DataSpec, parse_data_spec
from mpo_core.evaluation.candidates import Candidate
from mpo_core.losses.catalogue import make_objective
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.seeds import Stream, stream_key
from mpo_core.settings import EvaluationSettings, RowSettings
from mpo_core.training.fused_log_probs import is_fused
from mpo_experiments.progress import Reporter
from mpo_experiments.runs.report import CellReport, make_report
from mpo_experiments.search.program import SearchProblem
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.testbed import Testbed, comparison_settings
from mpo_experiments.tuning.tuned import BASELINES, TunedCell, epochs_before, load_tuned

START_NAME, DISCOVERED_NAME = "start", "discovered"
LAST_BANK = 2**31 - 1
"""Banks are numbered downwards from here, below which generations are numbered upwards: no two share a key."""


@dataclasses.dataclass(frozen=True)
class SearchCell:
    """One combination; those of a task share an testbed, which holds the compiled physics."""

    config: CellConfig
    """Of this combination alone."""
    testbed: Testbed

    @property
    def name(self) -> str:
        """Such as "halfcheetah, mixed:0.75"."""
        return self.config.title

    @cached_property
    def spec(self) -> DataSpec:
        """Its kind of data."""
        return parse_data_spec(self.config.data)

    @cached_property
    def tuned(self) -> TunedCell | None:
        """The tuned hand-written objectives, on its kind of data if there are such."""
        return load_tuned(self.config.task, self.config.data)

    def check_horizon(self) -> None:
        """Refuses a search or a report that could not be made, before the search rather than after it."""
        is_fused(self.config.inner.products)
        self.testbed.check_scores(self.config.report.evaluation.horizon)

    def problem(self) -> SearchProblem:
        """It as a search sees it."""
        config, search = self.config, self.config.search
        return SearchProblem(
            task=self.testbed.task, original=self.testbed.original, spec=self.spec, rows=config.rows.count,
            inner=config.inner, constants=self.testbed.constants(search.horizon), seed=config.seed,
            evaluation=EvaluationSettings(search.episodes, search.horizon),
        )  # fmt: skip

    @property
    def bank_size(self) -> RowSettings:
        """Pairs of a bank and their length."""
        return RowSettings(self.config.search.bank_pairs, self.config.rows.length)

    def bank(self, number: int, reporter: Reporter) -> PairBank:
        """Fresh pairs; banks with different numbers share nothing."""
        size = self.bank_size
        reporter.stage("Pairs of trajectories", 2 * size.count * size.length, "step")
        key = stream_key(self.config.seed, Stream.SEARCH, LAST_BANK - number)
        return generate_pairs(
            self.testbed.program, self.testbed.agents, self.spec, size, key=key, advance=reporter.advance
        )

    def report(self, start: MirrorObjective, discovered: MirrorObjective, reporter: Reporter) -> CellReport:
        """Judges what was discovered beside the hand-written objectives, on fresh units of the reporting stream."""
        config, candidates = self.config, dict[str, Candidate]()
        for id in BASELINES:
            tuned = self.tuned.objectives.get(id) if self.tuned else None
            settings, rate = (tuned.settings, tuned.learning_rate) if tuned else ({}, None)
            candidates[id] = Candidate(
                make_objective(id, **settings), epochs_before(self.tuned, id, self.config.inner.epochs), rate
            )
        candidates[START_NAME] = Candidate(start, config.inner.sft_epochs)
        candidates[DISCOVERED_NAME] = Candidate(discovered, config.inner.sft_epochs)
        comparison = comparison_settings(config, Stream.REPORTING, config.report.units)
        scores = self.testbed.compare(list(candidates.values()), comparison, reporter)
        constants = self.testbed.constants(config.report.evaluation.horizon)
        original_mode = self.testbed.constants(config.report.evaluation.horizon, mode=True)[0]
        return make_report(config, (*constants, original_mode), list(candidates), scores, self.tuned)
