"""The three language models of a transfer experiment: original, target and reader, and what their texts are worth."""

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from adapters.storage.files import read_json
from adapters.storage.sealed import read_model, seal_of, unsealed, write_sealed
from adapters.torch.language_models import trained_weights_are_finite
from adapters.torch.small_models import (
    END_ID,
    Lessons,
    ModelShape,
    SmallModel,
    SmallTokenizer,
    TokenText,
    completions_of,
    copy_of,
    load_model,
    load_tokenizer,
    mean_log_probs,
    new_model,
    new_tokenizer,
    teach,
    write,
)
from mpo_core.failures import WorkFailed
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_experiments.lm_transfer.corpus import Corpus, read_corpus
from mpo_experiments.lm_transfer.settings import SCHEMA, Texts, TransferSettings, WorldCard
from mpo_experiments.lm_transfer.worth import Reward
from mpo_experiments.progress import Reporter
from mpo_experiments.versions import LANGUAGE, versions

WHERE = "world"
ROLES = ("original", "target", "reader")
ANEW = "remove their folder to have them made"
BATCH, LEARNING_RATE = 32, 1e-3
"""Texts of an update, and its step, where a model is taught."""


@dataclasses.dataclass(frozen=True)
class World:
    """What all trials of an experiment share."""

    tokenizer: SmallTokenizer
    original: SmallModel
    target: SmallModel
    reward: Reward
    prompts: list[str]
    """Of training pairs."""
    fresh: list[str]
    """Prompts that trained models are judged by."""
    longest: int
    card: WorldCard


def torch_seed(seed: int, stream: Stream, *levels: int) -> int:
    """A number for torch from a place in a stream of seeds; places differ, so do the numbers."""
    return int(jax.random.bits(stream_key(seed, stream, *levels), dtype=np.uint32))


def load_world(folder: Path, settings: TransferSettings, reporter: Reporter) -> World:
    """The models in a folder; made there if it has none.

    Raises:
        ValueError: those in the folder are damaged, or of other sizes, another corpus or another seed; or there is no
            such corpus.
        WorkFailed: the target that was made is no better than the original.
    """
    sizes, path = settings.sizes, folder / WHERE
    corpus = read_corpus(settings.corpus, settings.column, prompt_words=sizes.prompt_words, seed=settings.seed)
    prompts, fresh = corpus.prompts("prompts"), corpus.prompts("fresh")
    if not (prompts and fresh):
        raise ValueError(
            f"corpus {settings.corpus}: its texts begin alike, so that none is left whose first {sizes.prompt_words} "
            "words are a prompt of their own"
        )
    if not (path / "card.json").is_file():
        _Maker(path, settings, corpus, reporter).make()
    card = load_card(folder, settings)
    if card.corpus != corpus.sha256:
        raise ValueError(f"language models {path}: are of another corpus; choose another --out")
    if card.weights != _hash(path):
        raise ValueError(f"language models {path}: do not match their card; remove them to have them made again")
    tokenizer = load_tokenizer(path / "original")
    original, target, reader = (load_model(path / role) for role in ROLES)
    reward = Reward(tokenizer, reader, card.human)
    return World(tokenizer, original, target, reward, prompts, fresh, sizes.longest, card)


def load_card(folder: Path, settings: TransferSettings) -> WorldCard:
    """What is known of the models in a folder; neither they nor their corpus need be there.

    Raises:
        ValueError: there is no card, or it is damaged, or of other sizes or another seed.
    """
    path = folder / WHERE
    card = read_model(path / "card.json", "language models", WorldCard, advice=ANEW, version=SCHEMA)
    if (card.sizes, card.seed) != (dataclasses.asdict(settings.sizes), settings.seed):
        raise ValueError(f"language models {path}: are of another preset or seed; choose another --out")
    return card


def judge_model(
    model: SmallModel, reward: Reward, prompts: list[str], longest: int, samples: int, *, seed: int
) -> Texts | None:
    """What a model's texts are worth, prompts in equal parts; None if its weights are no numbers."""
    if not trained_weights_are_finite(model):
        return None
    tokenizer, asked = reward.tokenizer, [prompts[place % len(prompts)] for place in range(samples)]
    drawn = write(model, tokenizer, asked, longest, seed=seed)
    greedy = prompts[:samples]
    likeliest = write(model, tokenizer, greedy, longest, seed=None)
    worth = reward.worth(asked, drawn)
    return Texts(
        sampled=float(worth.reward.mean()), mode=float(reward.worth(greedy, likeliest).reward.mean()),
        sentiment=float(worth.sentiment.mean()), repetition=float(worth.repetition.mean()),
        unlikely=float(worth.unlikely.mean()), ended=float(np.mean([text[-1:] == [END_ID] for text in drawn])),
        tokens=float(np.mean([len(text) for text in drawn])),
    )  # fmt: skip


class _Maker:
    """Makes the models of a folder; each is a file as soon as it is taught."""

    def __init__(self, folder: Path, settings: TransferSettings, corpus: Corpus, reporter: Reporter):
        self._folder, self._settings, self._corpus, self._reporter = folder, settings, corpus, reporter
        self._tokenizer = new_tokenizer(["".join(pair) for pair in corpus.parts["lessons"]], settings.sizes.vocabulary)

    def make(self) -> None:
        """Original, reader, target, and the card.

        Raises:
            ValueError: those that an earlier start left are of other sizes, another corpus or another seed.
            WorkFailed: as `load_world`.
        """
        self._go_on_or_begin()
        sizes, parts = self._settings.sizes, self._corpus.parts
        lessons = {
            name: completions_of(self._tokenizer, parts[name], sizes.longest) for name in ("lessons", "reader", "fresh")
        }
        original = self._taught("original", None, lessons["lessons"], sizes.steps)
        reader = self._taught("reader", None, lessons["reader"], sizes.steps // 2)
        human = float(np.mean(mean_log_probs(reader, lessons["fresh"])))
        reward = Reward(self._tokenizer, reader, human)
        best = self._best_texts(original, reward)
        target = self._taught("target", original, best, sizes.target_steps)
        self._write_card(original, target, reward)

    def _go_on_or_begin(self) -> None:
        settings, path = self._settings, self._folder / "begun.json"
        made_of = {
            "sizes": dataclasses.asdict(settings.sizes), "seed": settings.seed, "corpus": self._corpus.sha256,
        }  # fmt: skip
        if not path.is_file():
            if any((self._folder / role).exists() for role in ROLES):
                raise ValueError(
                    f"language models {self._folder}: were begun by an earlier mpo, which did not note with what; "
                    f"{ANEW}"
                )
            write_sealed(path, made_of)
        begun = unsealed(read_json(path, "language models"), f"language models {path}", advice=ANEW)
        if seal_of(begun) != seal_of(made_of):
            raise ValueError(
                f"language models {self._folder}: were begun with another preset, seed or corpus; choose another --out"
            )

    def _taught(self, role: str, start: SmallModel | None, texts: Sequence[TokenText], steps: int) -> SmallModel:
        if (self._folder / role).is_dir():
            return load_model(self._folder / role)
        seed = self._seed(Purpose.TRAINING, ROLES.index(role))
        sizes = self._settings.sizes
        shape = ModelShape(sizes.hidden, sizes.layers, sizes.heads)
        model = new_model(shape, self._tokenizer, seed=seed) if start is None else copy_of(start)
        self._reporter.stage(f"the {role} model", steps, "update")
        teach(model, texts, Lessons(steps, BATCH, LEARNING_RATE), self._reporter.advance, seed=seed)
        beside = self._folder / f".{role}"
        shutil.rmtree(beside, ignore_errors=True)  # what an interrupted start left half written
        self._tokenizer.save_pretrained(beside)
        model.save_pretrained(beside)
        beside.rename(self._folder / role)
        return model

    def _best_texts(self, original: SmallModel, reward: Reward) -> list[TokenText]:
        """For each of so many prompts the original's text of highest reward."""
        sizes, tokenizer = self._settings.sizes, self._tokenizer
        prompts = [prompt for prompt, _ in self._corpus.parts["lessons"]]
        generator = np.random.default_rng(self._seed(Purpose.START_STATES))
        asked = generator.choice(prompts, sizes.lessons).tolist()
        self._reporter.stage("texts for the target model", sizes.tries, "try")
        best, highest = [[]] * len(asked), np.full(len(asked), -np.inf)
        for number in range(sizes.tries):
            texts = write(original, tokenizer, asked, sizes.longest, seed=self._seed(Purpose.ACTIONS, number))
            found = reward.worth(asked, texts).reward
            best = [text if better else old for text, old, better in zip(texts, best, found > highest, strict=True)]
            highest = np.maximum(found, highest)
            self._reporter.advance(1)
        return list(zip(tokenizer(asked)["input_ids"], best, strict=True))  # pyright: ignore[reportReturnType,reportArgumentType]

    def _write_card(self, original: SmallModel, target: SmallModel, reward: Reward) -> None:
        settings, fresh, worth = self._settings, self._corpus.prompts("fresh"), {}
        longest, samples = settings.sizes.longest, settings.sizes.constant_samples
        self._reporter.stage("what their texts are worth", 2, "model")
        own = {}
        for role, model in (("original", original), ("target", target)):
            seed = self._seed(Purpose.EVALUATION_ACTIONS)
            worth[role] = judge_model(model, reward, fresh, longest, samples, seed=seed)
            if worth[role] is None:
                raise WorkFailed(f"the {role} language model's weights are no numbers: choose another --seed")
            texts = write(model, self._tokenizer, fresh, longest, seed=seed)
            pairs = list(zip(self._tokenizer(fresh)["input_ids"], texts, strict=True))
            own[role] = float(np.mean(mean_log_probs(original, pairs)))  # pyright: ignore[reportArgumentType]
            self._reporter.advance(1)
        try:
            card = WorldCard(
                sizes=dataclasses.asdict(settings.sizes), seed=settings.seed, corpus=self._corpus.sha256,
                parts={name: len(texts) for name, texts in self._corpus.parts.items()},
                parameters=original.num_parameters(), human=reward.human,
                token_log_probs=(own["original"], own["target"]),
                weights=_hash(self._folder), versions=versions(LANGUAGE), **worth,
            )  # fmt: skip
        except ValueError:
            raise WorkFailed(
                "the target language model came out no better than the original: choose another --seed"
            ) from None
        write_sealed(self._folder / "card.json", card.model_dump(mode="json"))

    def _seed(self, purpose: Purpose, *levels: int) -> int:
        return torch_seed(self._settings.seed, Stream.AGENT_CARD, purpose, *levels)


def _hash(folder: Path) -> str:
    files = (folder / role / "model.safetensors" for role in ROLES)
    try:
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    except OSError:
        return "missing"
