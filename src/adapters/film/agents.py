"""The agents of a film: the task's own two, and what objectives make of the original."""

import jax

from adapters.arena import Arena, race_settings
from adapters.config import RunConfig
from adapters.watch import Watch
from mpo_core.inner_loop import train
from mpo_core.policy import GaussianPolicy
from mpo_core.race import Entrant, Race
from mpo_core.seeds import Stream
from mpo_core.settings import InnerLoopSettings


def film_agents(
    arena: Arena, config: RunConfig, entrants: list[tuple[str, Entrant]], watch: Watch
) -> list[tuple[str, GaussianPolicy]]:
    """Original and target agent, then a policy an objective, trained on one fresh unit of data as `mpo train` does."""
    target = jax.tree.map(lambda leaf: leaf[1], arena.agents)
    found = [("original", arena.original), ("target", target)]
    if not entrants:
        return found
    settings = race_settings(config, Stream.SELECTION, 1, mode_actions=False)
    watch.stage("Fresh data", 2 * config.rows.count * config.rows.length, "step")
    unit = jax.tree.map(
        lambda leaf: leaf[0],
        Race(arena.program, arena.agents, settings).make_units(range(1), lambda _, done: watch.advance(done)),
    )
    watch.stage("Training", len(entrants), "policy")
    for name, entrant in entrants:
        inner = InnerLoopSettings(**(vars(config.inner) | {"sft_epochs": entrant.sft_epochs}))

        @jax.jit
        def trained(unit, entrant=entrant, inner=inner) -> GaussianPolicy:
            return train(
                entrant.objective, arena.original, unit.rows, inner, key=unit.training_key, reference=unit.reference
            )[0]

        found.append((name, trained(unit)))
        watch.advance(1)
    return found
