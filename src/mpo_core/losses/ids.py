"""The ids of the hand-written objectives, known without JAX: a name that is none is refused at once."""

from collections.abc import Iterable

from mpo_core.losses.not_built import NOT_BUILT
from mpo_core.names import unknown_name

# fmt: off
OWN_IDS = (
    "sft", "sft_mean", "tempo", "dpo", "hinge", "ipo", "r_dpo", "cdpo", "robust_dpo", "exo_pair", "inpo",
    "gpo_exp", "gpo_trunc_quad", "gpo_savage", "ipo_mean", "simpo", "orpo", "dpo_norm", "alphapo", "repo", "alpha_dpo",
    "pro_pair", "cpo", "slic_hf", "rrhf", "rpo_sft", "irpo", "mixed_po", "vpo_offline", "pmpo", "dpo_shift", "cpl",
    "wpo_dpo", "kto", "nca_pair", "bco_pair", "sppo_hard", "sppo_soft", "apo_zero", "apo_down", "cal_dpo", "dpop",
    "f_dpo_forward_kl", "f_dpo_js", "f_dpo_alpha", "chipo", "mpo_tsallis_ref", "madpo", "mmpo", "rpo_bwd_kl",
    "rpo_fwd_kl", "rpo_sq", "modpo", "mappo", "omni_dpo", "discopop", "cell", "padll", "pfl", "aql", "aqfl", "dbaql",
    "beta_dpo", "aot", "aot_unpaired", "relative_po", "rpo_diagonal", "group_robust",
)
# fmt: on
"""Those of this package, as the catalogue has them."""


def unknown_objective(id: str, known: Iterable[str]) -> ValueError:
    """Which objective was probably meant, or why the published loss of that name is not built."""
    name, colon, _ = id.partition(":")
    if colon and name in OWN_IDS:
        return ValueError(f"objective {id!r}: only the id can stand here, without settings: {name!r}")
    error = unknown_name("objective", id, known, where="mpo list discovered" if "/" in id else "mpo list objectives")
    if id in NOT_BUILT:
        return ValueError(f"{error}; the published loss of that name is not built: {NOT_BUILT[id]}")
    return error
