"""Mirror Preference Optimization: the class of objectives that a search moves in."""

from typing import Literal

import equinox as eqx
from jaxtyping import Array, Float

from mpo_core.mirror.maps import AbstractMap, Log, NegativeLoss, Zero
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.margin import AbstractMarginObjective
from mpo_core.objective.pair_log_probs import PairLogProbs


class MirrorObjective(AbstractObjective):
    """-[psi(phi_inv(w) - phi_inv(qw) - phi_inv(l) + phi_inv(ql)) + g(w)], q the reference.

    Alfano et al. 2025, arXiv 2411.06568. phi_inv, psi and g may be closed forms or learned. Three switches are
    structure: what the bracket is made of, what g is applied to, and whether there is a reference.
    """

    phi_inv: AbstractMap
    psi: AbstractMap
    g: AbstractMap
    bracket: Literal["sum", "mean"] = eqx.field(static=True)
    """Whether phi_inv sees the log-prob of a trajectory, or of its mean token."""
    imitation: Literal["sum", "mean"] = eqx.field(static=True)
    """The same of g."""
    reference: bool = eqx.field(static=True)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-[psi(bracket) + g(w)]."""
        chosen = pair.chosen if self.imitation == "sum" else pair.chosen_mean
        return -(self.psi(self.preference(pair, progress), progress) + self.g(chosen, progress))

    def preference(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The bracket: by how much the mirror map finds the chosen trajectory preferred."""
        is_sum = self.bracket == "sum"
        chosen_scale = 1.0 if is_sum else pair.chosen_length
        rejected_scale = 1.0 if is_sum else pair.rejected_length
        chosen = self.phi_inv(pair.chosen / chosen_scale, progress)
        rejected = self.phi_inv(pair.rejected / rejected_scale, progress)
        if not self.reference:
            return chosen - rejected
        ref_chosen = self.phi_inv(pair.ref_chosen / chosen_scale, progress)
        ref_rejected = self.phi_inv(pair.ref_rejected / rejected_scale, progress)
        # Chosen with its own reference first: the difference of two long sums would lose digits.
        return (chosen - ref_chosen) - (rejected - ref_rejected)

    @property
    def monotone(self) -> bool:
        """Whether phi_inv, psi and g all increase, as the mirror family asks."""
        return self.phi_inv.monotone and self.psi.monotone and self.g.monotone


def from_margin_loss(loss: AbstractMarginObjective, *, monotone: bool) -> MirrorObjective:
    """A loss that is a function f of the scaled margin, as a point of the family: phi_inv = beta log, psi = -f, g = 0.

    Args:
        monotone: whether -f nowhere decreases.
    """
    return MirrorObjective(Log(loss.beta), NegativeLoss(loss, monotone), Zero(), "sum", "sum", True)
