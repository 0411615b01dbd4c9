"""Settings of `mpo align`: one schema for presets, the command line and align.json."""

import typing
from typing import Any, Literal

import pydantic

from mpo_core.names import unknown_name
from mpo_experiments.objectives.named import NamedObjective, ObjectiveSetting, parse_objective
from mpo_experiments.settings.nested import merged

SCHEMA_VERSION = 1
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # model and data: gemma-7b or mistral-7b on dpo-mix-7k or capybara-dpo-7k. What the paper does not say (schedule,
    # warm-up, chat template) is as in the Alignment Handbook, which it modified.
    "paper-llm": {
        "epochs": 4.0,
        "learning_rate": 5e-5,
        "beta": 0.05,
        "batch": 64,
        "max_length": 2048,
        "schedule": "cosine",
        "warmup": 0.1,
        "chat_template": "zephyr",
        "gradient_checkpointing": True,
        "lora": {"rank": 128, "alpha": 256, "dropout": 0.05},
    },
}


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class LoraSettings(_Model):
    """Low-rank adapters (arXiv 2106.09685); rank 0 trains the whole model."""

    rank: int = pydantic.Field(default=16, ge=0, le=4096)
    alpha: float = pydantic.Field(default=32, gt=0)
    dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    targets: str = "all-linear"
    """Names of the layers, comma-separated, or all-linear: every one but the head."""


class AlignSettings(_Model):
    """Everything needed to repeat a run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str
    """Folder or hub id of a causal language model, or of a LoRA adapter."""
    dataset: str
    objective: ObjectiveSetting = parse_objective("tempo")
    preset: str = "default"
    split: str = "train"
    eval_dataset: str | None = None
    """Held-out pairs, scored after every epoch."""
    eval_split: str = "test"
    epochs: float = pydantic.Field(default=1.0, gt=0, le=1000)
    learning_rate: float = pydantic.Field(default=2e-5, gt=0)
    beta: float | None = pydantic.Field(default=None, gt=0)
    """For objectives that have one and are not given theirs in their text; None: as published."""
    batch: int = pydantic.Field(default=16, ge=1)
    """Pairs an update, over all processes."""
    micro_batch: int = pydantic.Field(default=2, ge=1)
    """Pairs a process holds in memory at once; the rest of a batch is accumulated."""
    max_length: int = pydantic.Field(default=1024, ge=2)
    """Tokens of prompt and response together; what is longer is cut at its end."""
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Share of all updates over which the learning rate rises."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    max_grad_norm: float = pydantic.Field(default=1.0, gt=0)
    chat_template: str | None = None
    """For conversations: a file, zephyr (roles as plain text, as in the Alignment Handbook), or None: the tokenizer's
    own."""
    precompute_reference: bool = True
    """Whether reference log-probs are computed once, before training, or in every step."""
    gradient_checkpointing: bool = False
    save_every: int = pydantic.Field(default=100, ge=1)
    """Updates between checkpoints."""
    log_every: int = pydantic.Field(default=10, ge=1)
    """Updates between lines of metrics.jsonl."""
    seed: int = pydantic.Field(default=0, ge=0, lt=2**31)
    lora: LoraSettings = LoraSettings()

    @pydantic.model_validator(mode="after")
    def _batch_divides(self) -> "AlignSettings":
        if self.batch % self.micro_batch:
            raise ValueError(f"batch ({self.batch}) must be a multiple of micro_batch ({self.micro_batch})")
        return self

    @property
    def loss(self) -> NamedObjective:
        """The objective with the settings' beta, where it has one and is not given its own."""
        named = self.objective.loss
        if self.beta is None or named is None:
            return self.objective
        if "beta" in dict(named.settings) or getattr(named.make(), "beta", None) is None:
            return self.objective
        own = f"{self.objective.text.strip()}{',' if named.settings else ':'}beta={self.beta:g}"
        return NamedObjective(own, named.with_settings(beta=float(f"{self.beta:g}")))


def build_settings(*layers: dict[str, Any]) -> AlignSettings:
    """Settings from layers, later ones over earlier ones, all over the preset that they name.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    settings: dict[str, Any] = {}
    for layer in layers:
        settings = merged(settings, layer)
    preset = str(settings.get("preset", "default"))
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    try:
        return AlignSettings.model_validate(merged(PRESETS[preset], settings))
    except pydantic.ValidationError as error:
        raise ValueError(_sentence(error)) from None


def _sentence(error: pydantic.ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    *group, name = (str(part) for part in first["loc"]) if first["loc"] else ("",)
    if first["type"] == "extra_forbidden":
        kind: Any = AlignSettings
        for part in group:
            kind = typing.get_type_hints(kind)[part]
        return str(unknown_name(f"{'.'.join(group)} setting".strip(), name, kind.model_fields))
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    said = first["msg"]
    return f"setting {'.'.join([*group, name])}: {said[:1].lower()}{said[1:]}"
