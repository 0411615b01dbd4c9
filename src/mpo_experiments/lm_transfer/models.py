"""A small causal language model over words: built from a configuration, trained on texts, sampled, saved."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mpo_experiments.progress import Reporter
from mpo_experiments.reviews.grammar import LONGEST, VOCABULARY

PAD, END = "<pad>", "</s>"
PAD_ID, END_ID = 0, 1
IGNORED = -100
"""Label of a token that the loss leaves out."""


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """Size of the model, and how it is trained on texts."""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    batch: int = 32
    learning_rate: float = 3e-3


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; no word that a review or prompt may hold is unknown."""
    words = {word: number for number, word in enumerate((PAD, END, *VOCABULARY))}
    found = Tokenizer(WordLevel(words, unk_token=PAD))
    found.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(tokenizer_object=found, pad_token=PAD, eos_token=END, padding_side="left")


def new_model(settings: ModelSettings, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    """A Llama of this size with fresh weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=settings.hidden, intermediate_size=2 * settings.hidden,
        num_hidden_layers=settings.layers, num_attention_heads=settings.heads, max_position_embeddings=64,
        pad_token_id=PAD_ID, eos_token_id=END_ID, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def train_on_texts(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, examples: Sequence[tuple[str, str]], steps: int,
    settings: ModelSettings, reporter: Reporter, *, seed: int,
) -> None:  # fmt: skip
    """Next-word training on reviews, given their prompts; the learning rate falls to zero along a cosine.

    Args:
        examples: prompt and review.
    """
    tokens, labels = _batch(tokenizer, examples)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(examples), (settings.batch,), generator=generator)
        loss = model(input_ids=tokens[rows], labels=labels[rows]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        reporter.advance(1)


def _batch(
    tokenizer: PreTrainedTokenizerFast, examples: Sequence[tuple[str, str]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and labels, padded on the right: labels of prompts and padding are ignored."""
    prompts = [tokenizer(prompt)["input_ids"] for prompt, _ in examples]
    whole = [tokenizer(f"{prompt} {text}{END}")["input_ids"] for prompt, text in examples]
    longest = max(map(len, whole))
    tokens = torch.full((len(whole), longest), PAD_ID)
    labels = torch.full((len(whole), longest), IGNORED)
    for row, (prompt, ids) in enumerate(zip(prompts, whole, strict=True)):
        tokens[row, : len(ids)] = torch.tensor(ids)
        labels[row, len(prompt) : len(ids)] = torch.tensor(ids[len(prompt) :])
    return tokens, labels


@torch.inference_mode()
def sample(model: Any, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], *, seed: int | None) -> list[str]:
    """A review for each prompt, all of which have the same number of words.

    Args:
        model: a causal language model of transformers.
        seed: of the draws at temperature 1; None takes the likeliest word each time.
    """
    if seed is not None:
        torch.manual_seed(seed)
    tokens = tokenizer(list(prompts), return_tensors="pt")
    how = {"do_sample": False} if seed is None else {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0}
    model.eval()
    found = model.generate(
        input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], max_new_tokens=LONGEST, **how
    )
    completions = found[:, tokens["input_ids"].shape[1] :]
    return [str(tokenizer.decode(_until_end(row))) for row in completions.tolist()]


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END_ID)] if END_ID in tokens else tokens


def is_finite(model: torch.nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(bool(torch.isfinite(weight).all()) for weight in model.parameters())


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch on so many threads: what it computes depends on their number in the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_model(folder: Path) -> LlamaForCausalLM:
    """A model that `save_pretrained` wrote."""
    return LlamaForCausalLM.from_pretrained(folder)


def copy_of(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A model with the same weights.

    Not `copy.deepcopy`: TRL's trainer puts a `forward` on the model that it trains, and a deep copy would keep calling
    that of the first, so that its own weights were never trained.
    """
    copied = LlamaForCausalLM(model.config)
    copied.load_state_dict(model.state_dict())
    return copied
