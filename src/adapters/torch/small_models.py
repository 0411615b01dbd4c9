"""A small causal language model: built from a configuration, taught by texts, asked for texts and for log-probs."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from adapters.torch.answers import best_device, drawing

PAD, END = "<pad>", "</s>"
PAD_ID, END_ID = 0, 1
IGNORED = -100
"""Label of a token that the loss leaves out."""
READ, ASKED = 128, 512
"""Texts read, and written, side by side."""
SmallModel = LlamaForCausalLM
SmallTokenizer = PreTrainedTokenizerFast
TokenText = tuple[list[int], list[int]]
"""Tokens of a prompt and of how it goes on."""


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """Size of a model's layers."""

    hidden: int
    layers: int
    heads: int


@dataclasses.dataclass(frozen=True)
class Lessons:
    """How a model is taught: AdamW with a learning rate that falls to zero along a cosine."""

    steps: int
    batch: int
    """Texts of an update."""
    learning_rate: float


def new_tokenizer(texts: Sequence[str], size: int) -> SmallTokenizer:
    """Byte pairs of some texts: no text has an unknown token."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    found.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[PAD, END], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    found.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=found, pad_token=PAD, eos_token=END, padding_side="left")


def new_model(shape: ModelShape, tokenizer: SmallTokenizer, *, seed: int) -> SmallModel:
    """A Llama of this shape with fresh weights, on the GPU if there is one."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=shape.hidden, intermediate_size=2 * shape.hidden,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, max_position_embeddings=512,
        tie_word_embeddings=True, pad_token_id=PAD_ID, eos_token_id=END_ID, bos_token_id=None,
    )  # fmt: skip
    return _placed(LlamaForCausalLM(config))


def completions_of(tokenizer: SmallTokenizer, texts: Sequence[tuple[str, str]], longest: int) -> list[TokenText]:
    """Tokens of prompts and of how they go on, the end among them if it is within `longest`."""
    prompts = tokenizer([prompt for prompt, _ in texts])["input_ids"]
    rests = tokenizer([rest for _, rest in texts])["input_ids"]
    return [(prompt, [*rest, END_ID][:longest]) for prompt, rest in zip(prompts, rests, strict=True)]  # pyright: ignore[reportArgumentType]


def teach(
    model: SmallModel, texts: Sequence[TokenText], how: Lessons, advance: Callable[[int], None], *, seed: int
) -> None:
    """Prediction of the next token of texts, given their prompts.

    Args:
        texts: tokens of prompts and of how they go on.
        advance: told of every update.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.learning_rate, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, how.steps)
    generator = np.random.default_rng(seed)
    model.train()
    for _ in range(how.steps):
        tokens, mask, labels = _batch(model, [texts[place] for place in generator.integers(len(texts), size=how.batch)])
        loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        advance(1)


def _batch(model: SmallModel, texts: Sequence[TokenText]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, which of them are there, and labels, padded on the right: labels of prompts and padding are ignored."""
    longest = max(len(prompt) + len(rest) for prompt, rest in texts)
    tokens = torch.full((len(texts), longest), PAD_ID)
    labels = torch.full((len(texts), longest), IGNORED)
    for row, (prompt, rest) in enumerate(texts):
        whole = len(prompt) + len(rest)
        tokens[row, :whole] = torch.tensor([*prompt, *rest])
        labels[row, len(prompt) : whole] = torch.tensor(rest)
    mask = torch.arange(longest) < torch.tensor([[len(prompt) + len(rest)] for prompt, rest in texts])
    return tokens.to(model.device), mask.long().to(model.device), labels.to(model.device)


@torch.inference_mode()
def mean_log_probs(model: SmallModel, texts: Sequence[TokenText]) -> Float[np.ndarray, " text"]:
    """The mean log-prob of a text's tokens after its prompt, in nats; texts of no token have 0."""
    model.eval()
    found = []
    for start in range(0, len(texts), READ):
        tokens, mask, labels = _batch(model, texts[start : start + READ])
        log_probs = model(input_ids=tokens, attention_mask=mask).logits[:, :-1].log_softmax(-1)
        kept = labels[:, 1:] != IGNORED
        of_tokens = log_probs.gather(-1, tokens[:, 1:, None])[..., 0] * kept
        found.append((of_tokens.sum(1) / kept.sum(1).clamp(min=1)).cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def write(
    model: Any, tokenizer: SmallTokenizer, prompts: Sequence[str], longest: int, *, seed: int | None
) -> list[list[int]]:
    """The tokens of a text for each prompt, up to its end if it has one within `longest`.

    Args:
        model: a causal language model of transformers.
        seed: of the draws at temperature 1; None takes the likeliest token each time.
    """
    if seed is not None:
        torch.manual_seed(seed)
    how = drawing(0.0 if seed is None else 1.0)
    model.eval()
    found = []
    for start in range(0, len(prompts), ASKED):
        asked = tokenizer(list(prompts[start : start + ASKED]), return_tensors="pt", padding=True).to(model.device)
        tokens = model.generate(
            input_ids=asked["input_ids"], attention_mask=asked["attention_mask"], max_new_tokens=longest, **how
        )
        found += [_until_end(row) for row in tokens[:, asked["input_ids"].shape[1] :].tolist()]
    return found


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END_ID) + 1] if END_ID in tokens else tokens


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch on so many threads: what it computes depends on their number in the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_model(folder: Path) -> SmallModel:
    """A model that `save_pretrained` wrote."""
    return _placed(LlamaForCausalLM.from_pretrained(folder))


def load_tokenizer(folder: Path) -> SmallTokenizer:
    """A tokenizer that `save_pretrained` wrote."""
    return PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")


def copy_of(model: SmallModel) -> SmallModel:
    """A model with the same weights.

    Not `copy.deepcopy`: TRL's trainer puts a `forward` on the model that it trains, and a deep copy would keep calling
    that of the first, so that its own weights were never trained.
    """
    copied = LlamaForCausalLM(model.config)
    copied.load_state_dict(model.state_dict())
    return copied.to(model.device)  # pyright: ignore[reportArgumentType]


def _placed(model: SmallModel) -> SmallModel:
    return model.to(best_device())  # pyright: ignore[reportArgumentType]
