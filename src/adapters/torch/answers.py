"""Answers of a causal language model to prompts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch


@dataclasses.dataclass(frozen=True)
class Generation:
    """How answers are drawn."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0: the likeliest token every time."""
    batch: int = 8
    seed: int = 0


def best_device() -> torch.device:
    """Where models run here: on the first GPU that torch can use, else on the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def drawing(temperature: float) -> dict[str, Any]:
    """What transformers is told of how tokens are drawn: any token may be; 0 takes the likeliest each time."""
    if temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}  # else transformers' own


def generate(
    model: Any, tokenizer: Any, prompts: list[list[int]], how: Generation, advance: Callable[[int], None]
) -> list[str]:
    """An answer to each prompt (in tokens), without special tokens.

    Args:
        advance: told how many more prompts are answered.
    """
    device = best_device()
    model.to(device).eval()
    torch.manual_seed(how.seed)
    chosen = drawing(how.temperature)
    answers: list[str] = []
    for start in range(0, len(prompts), how.batch):
        batch = prompts[start : start + how.batch]
        width = max(map(len, batch))
        given = torch.tensor([[tokenizer.pad_token_id] * (width - len(one)) + one for one in batch], device=device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in batch], device=device)
        with torch.no_grad():
            tokens = model.generate(
                input_ids=given, attention_mask=mask, max_new_tokens=how.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id, **chosen,
            )  # fmt: skip
        texts = tokenizer.batch_decode(tokens[:, width:], skip_special_tokens=True)
        answers += [text.strip() for text in texts]
        advance(len(batch))
    return answers
