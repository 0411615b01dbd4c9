"""Published losses that a batch of preference rows does not determine, and why."""

_GOLD = "it needs the log-prob of a third, gold response"
_TOKENS = "it needs the log-probs of single tokens"
_REFERENCES = "it needs the log-probs under more than one reference"
_ONLINE = "it needs samples from the policy while it trains"
_AS_DPO = "its loss is dpo; what is new is the data, their order or the reference"
_UNKNOWN = "its formula could not be established"
_LISTS = "it needs lists or trees of responses"

NOT_BUILT = {
    "ampo": f"{_LISTS}; on one pair it is a weighted simpo",
    "apo_accel": f"{_REFERENCES}; with their extrapolation as the reference it is dpo",
    "bmc": f"{_TOKENS} and an edit mask",
    "bvpo": "it is a weighted sum of dpo on two data sets",
    "compo": "it is a zeroth-order update, not a loss",
    "curry_dpo": _AS_DPO,
    "dno": f"{_AS_DPO} (the previous policy)",
    "dppo": "it needs distances between the policy's and the data's actions",
    "drift": _AS_DPO,
    "drpo": _ONLINE,
    "f_dpo_reverse_kl": "it is dpo",
    "hypo": _ONLINE,
    "icl_irpo": _LISTS,
    "implicit_bridge": _UNKNOWN,
    "ipo_implicit": _AS_DPO,
    "kto_pair": "it is kto, whose kl is taken from the minibatch unless it is set",
    "ld_dpo": f"{_TOKENS} (sums over the shared prefix and over the tail)",
    "mrpo": f"{_REFERENCES}; with their harmonic mean as the reference it is dpo",
    "nash_md": _ONLINE,
    "ofs_dpo": "it needs two adapters of one model",
    "online_dpo": _ONLINE,
    "pre_dpo": f"{_AS_DPO} (a policy already trained by dpo or simpo)",
    "psi_po": "its two sample losses are ipo (identity) and dpo (logit)",
    "rationale": "it needs the log-prob of a rationale",
    "sgdpo": _UNKNOWN,
    "sparse_po": f"{_TOKENS} and token masks",
    "spo_seq": "it needs the implicit margins of earlier policies (modpo with that margin)",
    "srpo": "it needs log-probs of each response given the other",
    "svpo": f"{_LISTS} and a value head",
    "swepo": f"{_LISTS}; on one pair it is a weighted dpo",
    "tpo": _GOLD,
    "tpo_l": _GOLD,
    "tpo_tree": _LISTS,
    "tr_dpo": f"{_AS_DPO} (a reference that follows the policy)",
    "uapo": f"{_UNKNOWN}, and it learns a parameter beside the policy",
    "vrpo_llada": "its loss is dpo on ELBO estimates instead of log-probs",
    "wrpo": "it needs two chosen responses",
    "xpo": _ONLINE,
}
