"""Causal language models and their tokenizers, from a folder or the hub, with or without a LoRA adapter."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
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
    try:
        check_special_tokens(tokenizer)
    except ValueError as error:
        raise ValueError(f"model {source}: {error}") from None
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
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def trained_weights_are_finite(model: Any) -> bool:
    """Whether every weight that is trained is a number."""
    return all(bool(torch.isfinite(one).all()) for one in model.parameters() if one.requires_grad)


def set_chat_template(tokenizer: Any, wanted: str | None, source: str) -> None:
    """Gives the tokenizer a template for conversations.

    Args:
        wanted: a file, `zephyr`, or None: its own.

    Raises:
        ValueError: no such file, one that is no template, or the tokenizer has none of its own.
    """
    if wanted == "zephyr":
        tokenizer.chat_template = ZEPHYR
    elif wanted is not None:
        tokenizer.chat_template = read_text(Path(wanted), "chat template")
        _check_template(tokenizer, wanted)
    elif tokenizer.chat_template is None:
        raise ValueError(
            f"model {source}: its tokenizer has no chat template and the data are conversations: "
            "name one with --set chat_template=zephyr or --set chat_template=FILE"
        )


def check_special_tokens(tokenizer: Any) -> None:
    """Refuses a tokenizer that cannot end a sequence; without a token for padding it takes the one that ends.

    Raises:
        ValueError: one sentence.
    """
    if tokenizer.eos_token is None:
        raise ValueError(
            "the tokenizer has no end-of-sequence token, so answers would have no end: set tokenizer.eos_token (and "
            "tokenizer.pad_token, if it is to be another)"
        )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token


class TokenEncoder:
    """Texts and conversations as tokens, as a tokenizer and its chat template make them."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer

    @property
    def eos(self) -> int:
        """The token that ends a sequence."""
        return self._tokenizer.eos_token_id

    @property
    def eos_text(self) -> str:
        """How it is written."""
        return self._tokenizer.eos_token

    def text(self, text: str) -> list[int]:
        """Tokens of a text, with those that the tokenizer adds."""
        return list(self._tokenizer(text=text)["input_ids"])

    def messages(self, messages: list[dict[str, Any]], tools: Any, opens: bool) -> list[int]:
        """Tokens of a conversation.

        Args:
            tools: a list, or JSON of one.
            opens: whether the assistant's next turn is opened.

        Raises:
            ValueError: the template cannot take it, and why.
        """
        try:
            found = self._tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=True, add_generation_prompt=opens,
                tools=json.loads(tools) if isinstance(tools, str) else tools,
            )  # fmt: skip
        except Exception as error:  # whatever a template raises: its own, or what it does with a value of another type
            raise ValueError(f"the chat template cannot take its messages ({_short(error)})") from None
        return list(found["input_ids"])


def _check_template(tokenizer: Any, source: str) -> None:
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"chat template {source}: line {error.lineno}: {_short(error)}") from None
    except Exception:  # of this conversation; each row is tried
        return


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
