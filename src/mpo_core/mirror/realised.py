"""Where an objective is used: what it sees of pairs, and when, as samples for fitting and measuring."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from mpo_core.objective.pair_log_probs import PairLogProbs

COVERAGE = 0.1
"""Share of samples spread evenly over the realised range, so that its rare parts count for something."""


MOMENTS = 10
"""Moments of training that even samples are drawn at."""


class Realised(eqx.Module):
    """Pairs that an objective saw, each with the progress at which it saw it."""

    progress: Float[np.ndarray, " row"]
    pair: PairLogProbs

    def __len__(self) -> int:
        return len(self.progress)


def joined(parts: list[Realised]) -> Realised:
    """Samples one after another."""
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *parts)


def thinned(samples: Realised, most: int, *, seed: int) -> Realised:
    """A random `most` of the samples, or all of them."""
    index = np.random.default_rng(seed).permutation(len(samples))[:most]
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.sort(index)], samples)


def with_coverage(samples: Realised, *, seed: int) -> Realised:
    """With `COVERAGE` as many samples again, drawn evenly over the range of token means that the samples span."""
    pair, count = samples.pair, max(1, int(COVERAGE * len(samples)))
    length = float(np.mean(pair.chosen_length))
    lengths = np.stack([pair.chosen_length, pair.rejected_length])
    means = np.stack([pair.chosen, pair.rejected]) / lengths
    ref = np.stack([pair.ref_chosen, pair.ref_rejected]) / lengths
    last = float(samples.progress.max())
    policy, reference = ((float(seen.min()), float(seen.max())) for seen in (means, ref))
    spread = even_samples(policy, reference, length, count, last=last, seed=seed)
    return joined([samples, spread])


def even_samples(
    policy: tuple[float, float],
    reference: tuple[float, float],
    length: float,
    count: int,
    *,
    last: float = 1.0,
    seed: int,
) -> Realised:
    """Samples whose mean token log-probs are even over ranges, independent of each other and of progress.

    Args:
        policy: range of the policy's mean token log-probs, of chosen and rejected alike.
        reference: the same of the reference's.
        length: of every trajectory, in tokens.
        last: progress up to which samples go.
    """
    generator = np.random.default_rng(seed)

    def draw(low: float, high: float) -> np.ndarray:
        return length * generator.uniform(low, high, count)

    chosen, rejected, ref_chosen, ref_rejected = (draw(*span) for span in (policy, policy, reference, reference))
    sizes, nothing = np.full(count, length), np.zeros(count)
    moments = last * (np.arange(MOMENTS) + 0.5) / MOMENTS
    pair = PairLogProbs(chosen, rejected, ref_chosen, ref_rejected, sizes, sizes, margin=nothing)
    return Realised(generator.choice(moments, count), pair)
