"""A preference term with imitation of the chosen trajectory beside it."""

import equinox as eqx
from jaxtyping import Array, Float

from mpo_core.losses.entry import CatalogueEntry, TuningRange, around
from mpo_core.objective.interface import AbstractObjective, Scalar, coefficient
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import negative_log_sigmoid, positive_part
from mpo_core.objective.terms import Reduction, chosen_nll, log_prob_margin, log_ratio_margin, mean_log_prob_margin


class Cpo(AbstractObjective):
    """softplus(-beta P) - lam lw, beta 0.1, lam 1. Xu et al. 2024, arXiv 2401.08417.

    nll="mean" imitates mw instead, as TRL does. Reference-free, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    nll: Reduction = eqx.field(static=True, default="sum")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """softplus(-beta P) + lam nll."""
        return negative_log_sigmoid(self.beta * log_prob_margin(pair)) + self.lam * chosen_nll(pair, self.nll)


class SlicHf(AbstractObjective):
    """relu(delta - P) - lam lw, delta 1, lam 0.1. Zhao et al. 2023, arXiv 2305.10425.

    nll="mean" imitates mw instead. Reference-free, not length-normalised, a member of MPO.
    """

    delta: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    nll: Reduction = eqx.field(static=True, default="sum")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """relu(delta - P) + lam nll."""
        return positive_part(self.delta - log_prob_margin(pair)) + self.lam * chosen_nll(pair, self.nll)


class Rrhf(AbstractObjective):
    """relu(ml - mw) - lam lw, lam 1. Yuan et al. 2023, arXiv 2304.05302, in the form of SimPO's comparison.

    nll="mean" imitates mw instead. Reference-free, length-normalised but for the imitation, a member of MPO.
    """

    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    nll: Reduction = eqx.field(static=True, default="sum")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """relu(ml - mw) + lam nll."""
        return positive_part(-mean_log_prob_margin(pair)) + self.lam * chosen_nll(pair, self.nll)


class RpoSft(AbstractObjective):
    """softplus(-beta D) - eta lw; beta 0.01, eta 0.005. Liu et al. 2024, arXiv 2405.16436.

    With reference, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.01)
    eta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.005)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * log_ratio_margin(pair)) - self.eta * pair.chosen


class Irpo(AbstractObjective):
    """softplus(-beta D) - alpha mw; beta 0.1, alpha 1. Pang et al. 2024, arXiv 2404.19733.

    The bracket is of sums, the imitation of the mean token. With reference, not length-normalised, a member of
    MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * log_ratio_margin(pair)) - self.alpha * pair.chosen_mean


class MixedPo(AbstractObjective):
    """dpo softplus(-beta D) + bco (softplus(shift - beta a) + softplus(beta b - shift)) - sft mw.

    Wang et al. 2024 (MPO of InternVL), arXiv 2411.10442. Defaults: beta 0.1, dpo 0.8, bco 0.2, sft 1, shift 0.
    With reference, not length-normalised, no member of MPO: it acts on the log-ratios of chosen and rejected
    separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    dpo: Float[Array, ""] = eqx.field(converter=coefficient, default=0.8)
    bco: Float[Array, ""] = eqx.field(converter=coefficient, default=0.2)
    sft: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    shift: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = self.beta * pair.chosen_ratio, self.beta * pair.rejected_ratio
        preference = self.dpo * negative_log_sigmoid(chosen - rejected)
        quality = negative_log_sigmoid(chosen - self.shift) + negative_log_sigmoid(self.shift - rejected)
        return preference + self.bco * quality - self.sft * pair.chosen_mean


class VpoOffline(AbstractObjective):
    """softplus(-beta D) - alpha beta a; beta 0.1, alpha 0.1. Cen et al. 2024, arXiv 2405.19320.

    The offline form, calibrated on the chosen trajectories. With reference, not length-normalised, a member of
    MPO up to a constant of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        preference = negative_log_sigmoid(self.beta * log_ratio_margin(pair))
        return preference - self.alpha * self.beta * pair.chosen_ratio


class Pmpo(AbstractObjective):
    """-alpha lw + (1 - alpha) ll + kl (rw - lw + rl - ll) / 2.

    The KL term is the sample estimate over both trajectories, unbiased only where they come from the reference.
    Unbounded below for kl < 2 (1 - alpha). Abdolmaleki et al. 2024, arXiv 2410.04166. Defaults: alpha 0.5, kl
    0.5. With reference, not length-normalised, a member of MPO up to a constant of the row.
    """

    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)
    kl: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        divergence = -(pair.chosen_ratio + pair.rejected_ratio) / 2
        return -self.alpha * pair.chosen + (1 - self.alpha) * pair.rejected + self.kl * divergence


ENTRIES = (
    CatalogueEntry(
        id="cpo",
        factory=Cpo,
        family="regularised",
        citation="Xu et al. 2024, arXiv 2401.08417",
        formula="softplus(-beta P) - lam lw",
        needs_reference=False,
        length_normalised=False,
        member="M0",
        tuning=(
            TuningRange("beta", 0.01, 0.1, "sum", log=True),
            around("lam", 1.0, "sum"),
        ),
    ),
    CatalogueEntry(
        id="slic_hf",
        factory=SlicHf,
        family="regularised",
        citation="Zhao et al. 2023, arXiv 2305.10425",
        formula="relu(delta - P) - lam lw",
        needs_reference=False,
        length_normalised=False,
        member="M0",
        tuning=(
            TuningRange("delta", 0.1, 2.0, log=True),
            TuningRange("lam", 0.1, 10.0, "sum", log=True),
        ),
    ),
    CatalogueEntry(
        id="rrhf",
        factory=Rrhf,
        family="regularised",
        citation="Yuan et al. 2023, arXiv 2304.05302",
        formula="relu(ml - mw) - lam lw",
        needs_reference=False,
        length_normalised=True,
        member="M0-bar",
        tuning=(TuningRange("lam", 0.1, 10.0, "sum", log=True),),
    ),
    CatalogueEntry(
        id="rpo_sft",
        factory=RpoSft,
        family="regularised",
        citation="Liu et al. 2024, arXiv 2405.16436",
        formula="softplus(-beta D) - eta lw",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(
            around("beta", 0.01, "sum"),
            around("eta", 0.005, "sum"),
        ),
    ),
    CatalogueEntry(
        id="irpo",
        factory=Irpo,
        family="regularised",
        citation="Pang et al. 2024, arXiv 2404.19733",
        formula="softplus(-beta D) - alpha mw",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(
            around("beta", 0.1, "sum"),
            around("alpha", 1.0, "mean"),
        ),
    ),
    CatalogueEntry(
        id="mixed_po",
        factory=MixedPo,
        family="regularised",
        citation="Wang et al. 2024 (MPO of InternVL), arXiv 2411.10442",
        formula="dpo softplus(-beta D) + bco (softplus(shift - beta a) + softplus(beta b - shift)) - sft mw",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(
            around("beta", 0.1, "sum"),
            around("sft", 1.0, "mean"),
        ),
    ),
    CatalogueEntry(
        id="vpo_offline",
        factory=VpoOffline,
        family="regularised",
        citation="Cen et al. 2024, arXiv 2405.19320",
        formula="softplus(-beta D) - alpha beta a",
        needs_reference=True,
        length_normalised=False,
        member="MR~row",
        tuning=(
            around("beta", 0.1, "sum"),
            around("alpha", 0.1),
        ),
    ),
    CatalogueEntry(
        id="pmpo",
        factory=Pmpo,
        family="regularised",
        citation="Abdolmaleki et al. 2024, arXiv 2410.04166",
        formula="-alpha lw + (1 - alpha) ll + kl (rw - lw + rl - ll) / 2",
        needs_reference=True,
        length_normalised=False,
        member="M0~row",
        tuning=(around("kl", 0.5),),
    ),
)
