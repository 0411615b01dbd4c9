"""Known objectives as points of the mirror family."""

from collections.abc import Callable
from typing import Any

from mpo_core.losses.catalogue import catalogue_entry, make_objective
from mpo_core.losses.families.divergence import MpoTsallisRef
from mpo_core.losses.families.imitation import Tempo
from mpo_core.losses.families.log_ratio import Dpo, Hinge, Inpo, Ipo
from mpo_core.losses.families.normalised import AlphaPo, DpoNorm, IpoMean, Orpo, RePo, SimPo
from mpo_core.losses.families.regularised import Cpo, Irpo, RpoSft, Rrhf, SlicHf
from mpo_core.mirror.maps import (
    FadeIn,
    FadeOut,
    Log,
    Logit,
    LogSigmoid,
    MinZero,
    NegativeLoss,
    NegativeSquare,
    Tsallis,
    Zero,
)
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.margin import AbstractMarginObjective


def as_mirror(id: str, /, **settings: object) -> MirrorObjective:
    """The `MirrorObjective` that equals `make_objective(id, **settings)`.

    Raises:
        ValueError: that objective is no exact member of the family (the message says why), or there is none such.
    """
    objective = make_objective(id, **settings)
    if id not in _MEMBERS:
        raise ValueError(f"objective {id!r} is not a member of the mirror family: {why_not_member(id)}")
    return _MEMBERS[id](objective)


def member_ids() -> tuple[str, ...]:
    """The ids that `as_mirror` can give."""
    return tuple(_MEMBERS)


def why_not_member(id: str, /) -> str | None:
    """Why an objective is no exact member of the family; None if it is one."""
    if catalogue_entry(id).id in _MEMBERS:
        return None
    return _REASONS.get(id, "nobody has said which maps it has")


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


def _inpo(objective: Inpo) -> MirrorObjective:
    return MirrorObjective(Log(), NegativeSquare(0.5 / objective.eta), Zero(), "sum", "sum", True)


def _increasing(objective: AbstractMarginObjective) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), NegativeLoss(objective, True), Zero(), "sum", "sum", True)


def _not_monotone(objective: AbstractMarginObjective) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), NegativeLoss(objective, False), Zero(), "sum", "sum", True)


def _dpo_norm(objective: DpoNorm) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), LogSigmoid(), Zero(), "mean", "mean", True)


def _alphapo(objective: AlphaPo) -> MirrorObjective:
    phi_inv = Tsallis(objective.alpha, objective.beta)
    return MirrorObjective(phi_inv, LogSigmoid(shift=objective.gamma), Zero(), "mean", "mean", False)


def _repo(objective: RePo) -> MirrorObjective:
    return MirrorObjective(Log(), MinZero(objective.gamma), Zero(), "mean", "mean", False)


def _mpo_tsallis_ref(objective: MpoTsallisRef) -> MirrorObjective:
    phi_inv = Tsallis(1 - objective.q, objective.beta * objective.q)
    return MirrorObjective(phi_inv, LogSigmoid(), Zero(), "mean", "mean", True)


def _rpo_sft(objective: RpoSft) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), LogSigmoid(), Log(objective.eta), "sum", "sum", True)


def _irpo(objective: Irpo) -> MirrorObjective:
    return MirrorObjective(Log(objective.beta), LogSigmoid(), Log(objective.alpha), "sum", "mean", True)


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
    "inpo": _inpo,
    "cdpo": _not_monotone,
    "robust_dpo": _increasing,
    "exo_pair": _not_monotone,
    "discopop": _not_monotone,
    "cell": _increasing,
    "padll": _not_monotone,
    "gpo_exp": _increasing,
    "gpo_trunc_quad": _increasing,
    "gpo_savage": _increasing,
    "dpo_norm": _dpo_norm,
    "alphapo": _alphapo,
    "repo": _repo,
    "mpo_tsallis_ref": _mpo_tsallis_ref,
    "rpo_sft": _rpo_sft,
    "irpo": _irpo,
}

_SEPARATE = "it acts on the log-ratios of chosen and rejected separately"
_RATIO = "it acts on p/q, which is no difference of one phi_inv at p and at q"
_UNEQUAL = "it weighs chosen and rejected unequally"
_BATCH = "the loss of a row depends on the other rows of the batch"
_WEIGHT = "it weighs each row by a factor that psi does not see"
_ROW_CONSTANT = "its psi carries a constant that differs from row to row"
_REASONS = {
    "r_dpo": f"{_ROW_CONSTANT} (the difference in length)",
    "pfl": "which branch it takes depends on the margin without reference",
    "aql": _BATCH,
    "aqfl": _BATCH,
    "dbaql": _BATCH,
    "f_dpo_forward_kl": _RATIO,
    "f_dpo_js": _RATIO,
    "f_dpo_alpha": _RATIO,
    "chipo": _RATIO,
    "alpha_dpo": "its target margin differs from row to row",
    "pro_pair": "its scale differs from row to row (the margin)",
    "mixed_po": _SEPARATE,
    "vpo_offline": "it adds a constant of the row, the reference log-prob (rpo_sft with eta = alpha beta is one)",
    "pmpo": "its KL term adds a constant of the row, the reference log-probs",
    "kto": _SEPARATE,
    "nca_pair": _SEPARATE,
    "bco_pair": _SEPARATE,
    "sppo_hard": _SEPARATE,
    "sppo_soft": _SEPARATE,
    "apo_zero": _SEPARATE,
    "apo_down": _SEPARATE,
    "cal_dpo": _SEPARATE,
    "dpop": _SEPARATE,
    "madpo": _WEIGHT,
    "mmpo": f"{_ROW_CONSTANT} (the soft label)",
    "rpo_bwd_kl": f"{_ROW_CONSTANT} (the margin)",
    "rpo_fwd_kl": f"{_ROW_CONSTANT} (the margin)",
    "rpo_sq": f"{_ROW_CONSTANT} (the margin)",
    "modpo": f"{_ROW_CONSTANT} (the margin)",
    "mappo": _UNEQUAL,
    "omni_dpo": _WEIGHT,
    "dpo_shift": _UNEQUAL,
    "cpl": f"{_UNEQUAL} (with lam = 1 it is a member)",
    "wpo_dpo": _WEIGHT,
    "group_robust": _WEIGHT,
    "beta_dpo": _BATCH,
    "aot": _BATCH,
    "aot_unpaired": _BATCH,
    "relative_po": _BATCH,
    "rpo_diagonal": _BATCH,
}
