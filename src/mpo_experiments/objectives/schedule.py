"""The epochs of SFT that a saved objective was searched with, in a schedule of any length."""

from typing import Any

from mpo_core.losses.entry import PAPER_EPOCHS


def searched_sft_epochs(text: str, provenance: dict[str, Any], total: int) -> int:
    """Epochs of SFT, of `total`, in proportion those of its search; 0 where its card tells of no search.

    Args:
        text: names the objective to who reads a refusal.
        provenance: of its card.

    Raises:
        ValueError: the card has no such number.
    """
    inner = provenance.get("inner", {})
    inner = inner if isinstance(inner, dict) else {"sft_epochs": None}
    epochs, whole = inner.get("sft_epochs", 0), inner.get("epochs", PAPER_EPOCHS)
    if not isinstance(epochs, int) or not isinstance(whole, int) or not 0 <= epochs <= whole or whole < 1:
        raise ValueError(
            f"objective file {text}: its card asks for {epochs!r} epochs of SFT, of {whole!r} in all; "
            "to train with it: mpo train --sft-epochs"
        )
    return round(epochs * total / whole)
