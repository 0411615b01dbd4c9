"""Known objectives as points of the mirror family."""

from collections.abc import Callable
from typing import Any

from mpo_core.catalogue import catalogue_entry, make_objective
from mpo_core.mirror.maps import FadeIn, FadeOut, Log, Logit, LogSigmoid, MinZero, NegativeSquare, Zero
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objectives.imitation import Tempo
from mpo_core.objectives.log_ratio import Dpo, Hinge, Ipo
from mpo_core.objectives.normalised import IpoMean, Orpo, SimPo
from mpo_core.objectives.regularised import Cpo, Rrhf, SlicHf


def as_mirror(id: str, /, **settings: object) -> MirrorObjective:
    """The `MirrorObjective` that equals `make_objective(id, **settings)`.

    Raises:
        ValueError: that objective is no exact member of the family (the message says why), or there is none such.
    """
    objective = make_objective(id, **settings)
    if id not in _MEMBERS:
        raise ValueError(f"objective {id!r} is not a member of the mirror family: {_REASONS[id]}")
    return _MEMBERS[id](objective)


def member_ids() -> tuple[str, ...]:
    """The ids that `as_mirror` can give."""
    return tuple(_MEMBERS)


def why_not_member(id: str, /) -> str | None:
    """Why an objective is no exact member of the family; None if it is one."""
    return _REASONS.get(catalogue_entry(id).id)


def _sft(objective: Any) -> MirrorObjective:
    return MirrorObjective(Log(), Zero(), Log(), "sum", "sum", False)


def _sft_mean(objective: Any) -> MirrorObjective:
    return MirrorObjective(Log(), Zero(), Log(), "mean", "mean", False)


def _tempo(objective: Tempo) -> MirrorObjective:
    psi = FadeIn(LogSigmoid(), objective.t0, objective.t1)
    g = FadeOut(Log(objective.lam), objective.t0, objective.t1)
    return MirrorObjective(Log(objective.beta), psi, g, "mean", "mean", False)


def _dpo(objective: Dpo) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), LogSigmoid(), Zero(), "sum", "sum", True)


def _hinge(objective: Hinge) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), MinZero(1.0), Zero(), "sum", "sum", True)


def _ipo(objective: Ipo) -> MirrorObjective:
    return MirrorObjective(Log(), NegativeSquare(0.5 / objective.tau), Zero(), "sum", "sum", True)


def _ipo_mean(objective: IpoMean) -> MirrorObjective:
    return MirrorObjective(Log(), NegativeSquare(0.5 / objective.tau), Zero(), "mean", "mean", True)


def _simpo(objective: SimPo) -> MirrorObjective:
    psi = LogSigmoid(shift=objective.gamma)
    return MirrorObjective(Log(objective.beta), psi, Zero(), "mean", "mean", False)


def _orpo(objective: Orpo) -> MirrorObjective:
    return MirrorObjective(Logit(), LogSigmoid(objective.lam), Log(), "mean", "mean", False)


def _cpo(objective: Cpo) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), LogSigmoid(), Log(objective.lam), "sum", objective.nll, False)


def _slic_hf(objective: SlicHf) -> MirrorObjective:
    return MirrorObjective(Log(), MinZero(objective.delta), Log(objective.lam), "sum", objective.nll, False)


def _rrhf(objective: Rrhf) -> MirrorObjective:
    return MirrorObjective(Log(), MinZero(), Log(objective.lam), "mean", objective.nll, False)


_MEMBERS: dict[str, Callable[..., MirrorObjective]] = {
    "sft": _sft,
    "sft_mean": _sft_mean,
    "tempo": _tempo,
    "dpo": _dpo,
    "hinge": _hinge,
    "ipo": _ipo,
    "ipo_mean": _ipo_mean,
    "simpo": _simpo,
    "orpo": _orpo,
    "cpo": _cpo,
    "slic_hf": _slic_hf,
    "rrhf": _rrhf,
}

_REASONS = {
    "r_dpo": "its psi carries a constant that differs from row to row (the difference in length)",
    "pfl": "which branch it takes depends on the margin without reference",
    "aql": "the loss of a row depends on the other rows of the batch",
    "aqfl": "the loss of a row depends on the other rows of the batch",
    "dbaql": "the loss of a row depends on the other rows of the batch",
    "f_dpo_forward_kl": "it acts on p/q, which is no difference of one phi_inv at p and at q",
    "f_dpo_js": "it acts on p/q, which is no difference of one phi_inv at p and at q",
    "f_dpo_alpha": "it acts on p/q, which is no difference of one phi_inv at p and at q",
    "chipo": "it acts on p/q, which is no difference of one phi_inv at p and at q",
    "alpha_dpo": "its target margin differs from row to row",
    "pro_pair": "its scale differs from row to row (the margin)",
    "mixed_po": "it acts on the log-ratios of chosen and rejected separately",
    "vpo_offline": "it adds a constant of the row, the reference log-prob (rpo_sft with eta = alpha beta has the same gradient)",
    "pmpo": "its KL term adds a constant of the row, the reference log-probs",
    "kto": "it acts on the log-ratios of chosen and rejected separately",
    "nca_pair": "it acts on the log-ratios of chosen and rejected separately",
    "bco_pair": "it acts on the log-ratios of chosen and rejected separately",
    "sppo_hard": "it acts on the log-ratios of chosen and rejected separately",
    "sppo_soft": "it acts on the log-ratios of chosen and rejected separately",
    "apo_zero": "it acts on the log-ratios of chosen and rejected separately",
    "apo_down": "it acts on the log-ratios of chosen and rejected separately",
    "cal_dpo": "it acts on the log-ratios of chosen and rejected separately",
    "dpop": "it acts on the log-ratios of chosen and rejected separately",
    "madpo": "it weighs each row by a factor that psi does not see",
    "mmpo": "its psi carries a constant that differs from row to row (the soft label)",
    "rpo_bwd_kl": "its psi carries a constant that differs from row to row (the margin)",
    "rpo_fwd_kl": "its psi carries a constant that differs from row to row (the margin)",
    "rpo_sq": "its psi carries a constant that differs from row to row (the margin)",
    "modpo": "its psi carries a constant that differs from row to row (the margin)",
    "mappo": "it weighs chosen and rejected unequally",
    "omni_dpo": "it weighs each row by a factor that psi does not see",
    "dpo_shift": "it weighs chosen and rejected unequally",
    "cpl": "it weighs chosen and rejected unequally (with lam = 1 it is a member)",
    "wpo_dpo": "it weighs each row by a factor that psi does not see",
    "beta_dpo": "the loss of a row depends on the other rows of the batch",
    "aot": "the loss of a row depends on the other rows of the batch",
    "aot_unpaired": "the loss of a row depends on the other rows of the batch",
    "relative_po": "the loss of a row depends on the other rows of the batch",
    "rpo_diagonal": "the loss of a row depends on the other rows of the batch",
}
