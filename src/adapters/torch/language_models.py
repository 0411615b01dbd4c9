"""Causal language models and their tokenizers, from a folder or the hub, with or without a LoRA adapter."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from safetensors import SafetensorError

from adapters.storage.files import read_text
from mpo_core.failures import WorkFailed

ADAPTER_CARD = "adapter_config.json"
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
"""The template of the Alignment Handbook: roles as plain text, an end of sequence after every message."""


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a model, with a token for padding.

    Raises:
        ValueError: one sentence: there is no such model here or on the hub, or it has no tokenizer.
    """
    with _one_sentence(source, "its tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    if tokenizer.eos_token is None:
        raise ValueError(f"model {source}: its tokenizer has no end-of-sequence token")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def check_model(source: str) -> None:
    """Reads the configuration of a model, which costs nothing, before anything large is loaded.

    Raises:
        ValueError: one sentence: there is no such model here or on the hub, or it is no causal language model.
    """
    with _one_sentence(source, "its configuration"):
        config = transformers.AutoConfig.from_pretrained(base_of(source))
    if type(config) not in transformers.AutoModelForCausalLM._model_mapping:
        raise ValueError(f"model {source}: is of the kind {config.model_type!r}, which is no causal language model")


def base_of(source: str) -> str:
    """The model that a folder with a LoRA adapter was made for; of any other, itself.

    Raises:
        ValueError: the folder's card cannot be read.
    """
    card = Path(source) / ADAPTER_CARD
    if not card.is_file():
        return source
    try:
        return str(json.loads(read_text(card, "adapter card"))["base_model_name_or_path"])
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(f"model {source}: its {ADAPTER_CARD} names no base model") from None


def load_model(source: str, *, trained: bool = False, low_precision: bool = False) -> Any:
    """The model, with its adapter if the folder holds one.

    Args:
        trained: whether an adapter's weights are to be trained.
        low_precision: bfloat16 where the device has it.

    Raises:
        WorkFailed: its weights are missing or do not fit.
    """
    dtype = torch.bfloat16 if low_precision and has_bfloat16() else torch.float32
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(base_of(source), dtype=dtype)
        if base_of(source) != source:
            model = peft.PeftModel.from_pretrained(model, source, is_trainable=trained)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise WorkFailed(f"model {source}: its weights cannot be loaded ({_short(error)})") from None
    return model


def has_bfloat16() -> bool:
    """Whether training in bfloat16 is fast here: on a GPU that has it."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def set_chat_template(tokenizer: Any, wanted: str | None, source: str) -> None:
    """Gives the tokenizer a template for conversations.

    Args:
        wanted: a file, `zephyr`, or None: its own.

    Raises:
        ValueError: no such file, or it has none of its own.
    """
    if wanted == "zephyr":
        tokenizer.chat_template = ZEPHYR
    elif wanted is not None:
        tokenizer.chat_template = read_text(Path(wanted), "chat template")
    elif tokenizer.chat_template is None:
        raise ValueError(
            f"model {source}: its tokenizer has no chat template and the data are conversations: "
            "name one with --set chat_template=zephyr or --set chat_template=FILE"
        )


@contextlib.contextmanager
def _one_sentence(source: str, what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"model {source}: {what} cannot be read ({_short(error)})") from None
    except Exception as error:  # OSError, or of huggingface_hub's own kinds
        where = (
            "the folder does not hold it"
            if Path(source).is_dir()
            else "there is no such folder, and it cannot be had from the hub under that id (is this machine offline?)"
        )
        raise ValueError(f"model {source}: {what} cannot be read: {where} ({_short(error)})") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]
