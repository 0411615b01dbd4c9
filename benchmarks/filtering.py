"""How much better than the zoo a loss could be on mixed data, and what a member of the class needs to get there.

In a share Q of the rows of `mixed:Q` both trajectories are the original agent's. An oracle that sees true returns skips
them; hand-made members of the class find them by log-probs alone. On selection seeds: what it prints chose where
networks lie (`mpo_core.mirror.monotone_network.Frame`) and is no result (docs/discovery.md).

Run: python -m benchmarks.filtering [--task halfcheetah] [--data mixed:0.75] [--units 12] [--seed 603]
"""

import argparse

import jax.numpy as jnp
from jaxtyping import Array, Float

from cli.display import Display, console, rich_table
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.statistics import mean_interval, paired_difference
from mpo_core.losses.catalogue import make_objective
from mpo_core.mirror.closed_form import SumOfTerms, Term
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import Frame
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.seeds import Stream
from mpo_experiments.objectives.frames import frame_of
from mpo_experiments.settings.run_config import build_config
from mpo_experiments.testbed import Testbed, comparison_settings
from mpo_experiments.text_table import TextTable

TELLS = 0.6
"""Margin, in standard deviations of the dataset, above which an oracle takes a row to have a target trajectory."""
TEMPO = {"beta": 0.5238, "lam": 1.413}
"""As tuned in docs/results/benchmark on halfcheetah, mixed:0.75."""


class Told(AbstractObjective):
    """Another objective on the rows whose true margin is large; the others have no loss."""

    inner: AbstractObjective

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jnp.where(pair.margin > TELLS, self.inner(pair, progress), 0.0)


def hand_made(
    frame: Frame, *, early: bool = True, steep: bool = True, step: bool = True, reference: bool = True
) -> MirrorObjective:
    """A member that filters: early imitation of unlikely trajectories, later of likely ones; psi a step at a width."""
    centre, sharp = frame.centre, 11 / frame.width
    bend = 0.1 * frame.width - centre
    g = [Term(1.0, "min_zero", 1.0, bend, "fall", (0.0, 0.5))] if early else []
    g += [Term(1 / sharp, "exp", sharp, -sharp * centre, "rise", (0.0, 0.5))] if steep else []
    psi = [Term(2 / sharp, "tanh", sharp / 2, -5.5 * 1.1)] if step else []
    phi_inv = SumOfTerms((Term(1.0, "identity"),))
    return MirrorObjective(phi_inv, SumOfTerms(tuple(psi)), SumOfTerms(tuple(g)), "mean", "mean", reference)


def candidates(frame: Frame) -> dict[str, AbstractObjective]:
    """What is compared, tuned TeMPO first."""
    return {
        "tempo, tuned": make_objective("tempo", **TEMPO),
        "sft": make_objective("sft_mean"),
        "sft, told which rows": Told(make_objective("sft_mean")),
        "orpo, told which rows": Told(make_objective("orpo", lam=1.0)),
        "hand-made": hand_made(frame),
        "without early imitation": hand_made(frame, early=False),
        "without the steep g": hand_made(frame, steep=False),
        "without the step in psi": hand_made(frame, step=False),
        "without the reference": hand_made(frame, reference=False),
    }


def main() -> None:
    """Trains all of them on the same units and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="halfcheetah")
    parser.add_argument("--data", default="mixed:0.75")
    parser.add_argument("--units", type=int, default=12)
    parser.add_argument("--seed", type=int, default=603)
    given = parser.parse_args()
    config = build_config({"task": given.task, "data": given.data, "seed": given.seed})
    settings = comparison_settings(config, Stream.SELECTION, given.units, mode_actions=False)
    named, screen = candidates(frame_of([given.task])), console()
    with Display(screen) as display:
        scores = Testbed(given.task).compare([Candidate(one) for one in named.values()], settings, display).sampled
    rows = tuple(
        (name, str(mean_interval(own)), str(paired_difference(own, scores[0])))
        for name, own in zip(named, scores, strict=True)
    )
    caption = f"{given.task}, {given.data}, selection seeds of {given.seed}: reasons, not results"
    columns = ("objective", "score", "minus the first")
    screen.print(rich_table(TextTable(f"Normalised score on {given.units} units", columns, rows, caption)))


if __name__ == "__main__":
    main()
