"""A preference term with imitation of the chosen trajectory beside it."""

from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.mirror.maps import Log, LogSigmoid, MinZero
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.domain import NON_NEGATIVE, POSITIVE, REAL, SHARE
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import SearchRange, around, setting
from mpo_core.objective.stable import negative_log_sigmoid, positive_part
from mpo_core.objective.terms import Reduction, chosen_nll, log_prob_margin, log_ratio_margin, mean_log_prob_margin


class Cpo(AbstractObjective):
    """softplus(-beta P) - lam x, x = lw.

    nll="mean" imitates x = mw instead, as TRL does.
    """

    card: ClassVar[LossCard] = LossCard(
        id="cpo",
        family="regularised",
        citation="Xu et al. 2024, arXiv 2401.08417",
        formula="softplus(-beta P) - lam x, x = lw if nll = sum else mw",
        member="M0",
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, SearchRange(0.01, 0.3, "sum", log=True))
    lam: Float[Array, ""] = setting(1.0, NON_NEGATIVE, around(1.0, "sum"))
    nll: Reduction = eqx.field(static=True, default="sum")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """softplus(-beta P) + lam nll."""
        return negative_log_sigmoid(self.beta * log_prob_margin(pair)) + self.lam * chosen_nll(pair, self.nll)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(self.beta), LogSigmoid(), Log(self.lam), "sum", self.nll, False)


class SlicHf(AbstractObjective):
    """relu(delta - P) - lam x, x = lw.

    nll="mean" imitates x = mw instead.
    """

    card: ClassVar[LossCard] = LossCard(
        id="slic_hf",
        family="regularised",
        citation="Zhao et al. 2023, arXiv 2305.10425",
        formula="relu(delta - P) - lam x, x = lw if nll = sum else mw",
        member="M0",
    )

    delta: Float[Array, ""] = setting(1.0, REAL, SearchRange(0.1, 2.0, log=True))
    lam: Float[Array, ""] = setting(0.1, NON_NEGATIVE, SearchRange(0.03, 10.0, "sum", log=True))
    nll: Reduction = eqx.field(static=True, default="sum")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """relu(delta - P) + lam nll."""
        return positive_part(self.delta - log_prob_margin(pair)) + self.lam * chosen_nll(pair, self.nll)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), MinZero(self.delta), Log(self.lam), "sum", self.nll, False)


class Rrhf(AbstractObjective):
    """relu(ml - mw) - lam x, x = lw, in the form of SimPO's comparison.

    nll="mean" imitates x = mw instead.
    """

    card: ClassVar[LossCard] = LossCard(
        id="rrhf",
        family="regularised",
        citation="Yuan et al. 2023, arXiv 2304.05302",
        formula="relu(ml - mw) - lam x, x = lw if nll = sum else mw",
        member="M0-bar",
        length_normalised=True,
    )

    lam: Float[Array, ""] = setting(1.0, NON_NEGATIVE, SearchRange(0.1, 10.0, "sum", log=True))
    nll: Reduction = eqx.field(static=True, default="sum")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """relu(ml - mw) + lam nll."""
        return positive_part(-mean_log_prob_margin(pair)) + self.lam * chosen_nll(pair, self.nll)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), MinZero(), Log(self.lam), "mean", self.nll, False)


class RpoSft(AbstractObjective):
    """softplus(-beta D) - eta lw."""

    card: ClassVar[LossCard] = LossCard(
        id="rpo_sft",
        family="regularised",
        citation="Liu et al. 2024, arXiv 2405.16436",
        formula="softplus(-beta D) - eta lw",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.01, POSITIVE, around(0.01, "sum"))
    eta: Float[Array, ""] = setting(0.005, NON_NEGATIVE, around(0.005, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * log_ratio_margin(pair)) - self.eta * pair.chosen

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(self.beta), LogSigmoid(), Log(self.eta), "sum", "sum", True)


class Irpo(AbstractObjective):
    """softplus(-beta D) - alpha mw.

    The bracket is of sums, the imitation of the mean token.
    """

    card: ClassVar[LossCard] = LossCard(
        id="irpo",
        family="regularised",
        citation="Pang et al. 2024, arXiv 2404.19733",
        formula="softplus(-beta D) - alpha mw",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    alpha: Float[Array, ""] = setting(1.0, NON_NEGATIVE, around(1.0, "mean"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * log_ratio_margin(pair)) - self.alpha * pair.chosen_mean

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(self.beta), LogSigmoid(), Log(self.alpha), "sum", "mean", True)


class MixedPo(AbstractObjective):
    """dpo softplus(-beta D) + bco (softplus(shift - beta a) + softplus(beta b - shift)) - sft mw."""

    card: ClassVar[LossCard] = LossCard(
        id="mixed_po",
        family="regularised",
        citation="Wang et al. 2024 (MPO of InternVL), arXiv 2411.10442",
        formula="dpo softplus(-beta D) + bco (softplus(shift - beta a) + softplus(beta b - shift)) - sft mw",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    dpo: Float[Array, ""] = setting(0.8, NON_NEGATIVE)
    bco: Float[Array, ""] = setting(0.2, NON_NEGATIVE)
    sft: Float[Array, ""] = setting(1.0, NON_NEGATIVE, around(1.0, "mean"))
    shift: Float[Array, ""] = setting(0.0, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = self.beta * pair.chosen_ratio, self.beta * pair.rejected_ratio
        preference = self.dpo * negative_log_sigmoid(chosen - rejected)
        quality = negative_log_sigmoid(chosen - self.shift) + negative_log_sigmoid(self.shift - rejected)
        return preference + self.bco * quality - self.sft * pair.chosen_mean


class VpoOffline(AbstractObjective):
    """softplus(-beta D) - alpha beta a.

    The offline form, calibrated on the chosen trajectories.
    """

    card: ClassVar[LossCard] = LossCard(
        id="vpo_offline",
        family="regularised",
        citation="Cen et al. 2024, arXiv 2405.19320",
        formula="softplus(-beta D) - alpha beta a",
        member="MR~row",
        no_member="it adds a constant of the row, the reference log-prob (rpo_sft with eta = alpha beta is one)",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    alpha: Float[Array, ""] = setting(0.1, NON_NEGATIVE, around(0.1))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        preference = negative_log_sigmoid(self.beta * log_ratio_margin(pair))
        return preference - self.alpha * self.beta * pair.chosen_ratio


class Pmpo(AbstractObjective):
    """-alpha lw + (1 - alpha) ll + kl (rw - lw + rl - ll) / 2.

    The KL term is the sample estimate over both trajectories, unbiased only where they come from the reference.
    Unbounded below for kl < 2 (1 - alpha).
    """

    card: ClassVar[LossCard] = LossCard(
        id="pmpo",
        family="regularised",
        citation="Abdolmaleki et al. 2024, arXiv 2410.04166",
        formula="-alpha lw + (1 - alpha) ll + kl (rw - lw + rl - ll) / 2",
        member="M0~row",
        no_member="its KL term adds a constant of the row, the reference log-probs",
        needs_reference=True,
    )

    alpha: Float[Array, ""] = setting(0.5, SHARE)
    kl: Float[Array, ""] = setting(0.5, NON_NEGATIVE, around(0.5))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        divergence = -(pair.chosen_ratio + pair.rejected_ratio) / 2
        return -self.alpha * pair.chosen + (1 - self.alpha) * pair.rejected + self.kl * divergence
