"""The agents of a film: the task's own two, and what objectives make of the original."""

import jax

from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.seeds import Stream
from mpo_core.training.inner_loop import train
from mpo_experiments.progress import Reporter
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.testbed import Testbed, comparison_settings


def film_agents(
    testbed: Testbed, config: CellConfig, candidates: list[tuple[str, Candidate]], reporter: Reporter
) -> list[tuple[str, AbstractPolicy]]:
    """Original and target agent, then a policy an objective, trained on one fresh unit of data as `mpo train` does."""
    target = jax.tree.map(lambda leaf: leaf[1], testbed.agents)
    found = [("original", testbed.original), ("target", target)]
    if not candidates:
        return found
    settings = comparison_settings(config, Stream.SELECTION, 1, mode_actions=False)
    reporter.stage("Fresh data", 2 * config.rows.count * config.rows.length, "step")
    unit = jax.tree.map(
        lambda leaf: leaf[0],
        Comparison(testbed.program, testbed.agents, settings).make_units(
            range(1), lambda _, done: reporter.advance(done)
        ),
    )
    reporter.stage("Training", len(candidates), "policy")
    for name, candidate in candidates:
        inner = candidate.inner(config.inner)

        @jax.jit
        def trained(unit, candidate=candidate, inner=inner) -> AbstractPolicy:
            return train(
                candidate.objective, testbed.original, unit.rows, inner, key=unit.training_key, reference=unit.reference
            )[0]

        found.append((name, trained(unit)))
        reporter.advance(1)
    return found
