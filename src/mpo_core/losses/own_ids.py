"""The ids of this package's hand-written objectives; written by docs/generate_objectives.py."""

# fmt: off
OWN_IDS = (
    "sft", "sft_mean", "tempo", "gated_tempo", "floor_po", "dpo", "hinge", "ipo", "r_dpo", "cdpo", "robust_dpo",
    "exo_pair", "inpo", "gpo_exp", "gpo_trunc_quad", "gpo_savage", "ipo_mean", "simpo", "orpo", "dpo_norm",
    "alphapo", "repo", "alpha_dpo", "pro_pair", "cpo", "slic_hf", "rrhf", "rpo_sft", "irpo", "mixed_po",
    "vpo_offline", "pmpo", "dpo_shift", "cpl", "wpo_dpo", "kto", "nca_pair", "bco_pair", "sppo_hard", "sppo_soft",
    "apo_zero", "apo_down", "cal_dpo", "dpop", "f_dpo_forward_kl", "f_dpo_js", "f_dpo_alpha", "chipo",
    "mpo_tsallis_ref", "madpo", "mmpo", "rpo_bwd_kl", "rpo_fwd_kl", "rpo_sq", "modpo", "mappo", "omni_dpo",
    "discopop", "cell", "padll", "pfl", "aql", "aqfl", "dbaql", "beta_dpo", "aot", "aot_unpaired", "relative_po",
    "rpo_diagonal", "group_robust",
)
# fmt: on
