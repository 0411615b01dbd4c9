"""The two language models of a transfer experiment, original and target, and what they are worth."""

import dataclasses
import hashlib
from pathlib import Path

import jax
import numpy as np
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from adapters.storage.sealed import read_model, write_sealed
from mpo_core.failures import WorkFailed
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_experiments.lm_transfer.models import (
    ModelSettings,
    is_finite,
    load_model,
    new_model,
    sample,
    train_on_texts,
    word_tokenizer,
)  # fmt: skip
from mpo_experiments.lm_transfer.settings import TransferSettings, TransferSizes, WorldCard
from mpo_experiments.progress import Reporter
from mpo_experiments.reviews.grammar import LONGEST, PROMPTS, Writer, best_of, reward
from mpo_experiments.versions import LANGUAGE, versions

WHERE = "world"


@dataclasses.dataclass(frozen=True)
class World:
    """What all trials of an experiment share."""

    tokenizer: PreTrainedTokenizerFast
    original: LlamaForCausalLM
    target: LlamaForCausalLM
    card: WorldCard


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a model's reviews are worth."""

    sampled: float
    """Mean reward of reviews drawn at temperature 1."""
    mode: float
    """Mean reward of the likeliest word each time, one review a prompt."""
    ended: float
    words: float


def torch_seed(seed: int, stream: Stream, *levels: int) -> int:
    """A number for torch from a place in a stream of seeds; places differ, so do the numbers."""
    return int(jax.random.bits(stream_key(seed, stream, *levels), dtype=np.uint32))


def load_world(folder: Path, settings: TransferSettings, reporter: Reporter) -> World:
    """The models in a folder; made there if it has none.

    Raises:
        ValueError: those in the folder are damaged, or of other sizes or another seed.
        WorkFailed: the target that was made is no better than the original.
    """
    path = folder / WHERE / "card.json"
    if not path.is_file():
        _make(folder / WHERE, settings, reporter)
    card = read_model(path, "language models", WorldCard, advice="remove their folder to have them made again")
    if (card.sizes, card.seed) != (dataclasses.asdict(settings.sizes), settings.seed):
        raise ValueError(f"language models {path.parent}: are of another preset or seed; choose another --out")
    if card.weights != _hash(path.parent):
        raise ValueError(f"language models {path.parent}: do not match their card; remove them to have them made again")
    original, target = (load_model(path.parent / role) for role in ("original", "target"))
    return World(word_tokenizer(), original, target, card)


def judge_model(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, samples: int, *, seed: int
) -> Judged | None:
    """Mean reward of a model's reviews, prompts in equal parts; None if its weights are no numbers."""
    if not is_finite(model):
        return None
    prompts = [PROMPTS[place % len(PROMPTS)] for place in range(samples)]
    drawn = sample(model, tokenizer, prompts, seed=seed)
    likeliest = sample(model, tokenizer, PROMPTS, seed=None)
    words = np.array([len(text.split()) for text in drawn])
    return Judged(
        sampled=_mean_reward(prompts, drawn), mode=_mean_reward(PROMPTS, likeliest),
        ended=float((words < LONGEST).mean()), words=float(words.mean()),
    )  # fmt: skip


def _mean_reward(prompts: list[str] | tuple[str, ...], texts: list[str]) -> float:
    return float(np.mean([reward(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]))


def _make(folder: Path, settings: TransferSettings, reporter: Reporter) -> None:
    sizes, tokenizer = settings.sizes, word_tokenizer()
    shape = ModelSettings(hidden=sizes.hidden, layers=sizes.layers)
    reporter.stage("language models", sizes.steps + sizes.steps // 2, "update")
    model = new_model(shape, tokenizer, seed=_seed(settings, Purpose.START_STATES))
    generator = np.random.default_rng(_seed(settings, Purpose.ACTIONS))
    worth = {}
    for role, texts, steps in (
        ("original", _mediocre(sizes, generator), sizes.steps), ("target", _best(sizes, generator), sizes.steps // 2)
    ):  # fmt: skip
        train_on_texts(model, tokenizer, texts, steps, shape, reporter, seed=_seed(settings, Purpose.TRAINING))
        model.save_pretrained(folder / role)
        judged = judge_model(model, tokenizer, sizes.constant_samples, seed=_seed(settings, Purpose.EVALUATION_ACTIONS))
        if judged is None:
            raise WorkFailed(f"the {role} language model's weights are no numbers: choose another --seed")
        worth[role] = dataclasses.asdict(judged)
    try:
        card = WorldCard(
            sizes=dataclasses.asdict(sizes),
            seed=settings.seed,
            weights=_hash(folder),
            versions=versions(LANGUAGE),
            **worth,
        )
    except ValueError:
        raise WorkFailed(
            "the target language model came out no better than the original: choose another --seed"
        ) from None
    write_sealed(folder / "card.json", card.model_dump(mode="json"))


def _seed(settings: TransferSettings, purpose: Purpose) -> int:
    return torch_seed(settings.seed, Stream.AGENT_CARD, purpose)


def _mediocre(sizes: TransferSizes, generator: np.random.Generator) -> list[tuple[str, str]]:
    prompts = generator.choice(PROMPTS, sizes.texts).tolist()
    return [(prompt, Writer().write(prompt, generator)) for prompt in prompts]


def _best(sizes: TransferSizes, generator: np.random.Generator) -> list[tuple[str, str]]:
    prompts = generator.choice(PROMPTS, sizes.texts // 2).tolist()
    return [(prompt, best_of(Writer(), prompt, sizes.tries, generator)) for prompt in prompts]


def _hash(folder: Path) -> str:
    files = (folder / role / "model.safetensors" for role in ("original", "target"))
    try:
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    except OSError:
        return "missing"
