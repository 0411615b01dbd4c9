"""`mpo align evaluate`: what is asked of a model, checked before any weight is loaded, and the answers."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.torch.language_models import base_of, check_model, load_tokenizer, set_chat_template
from adapters.torch.preference_text import is_talk, load_pairs, load_prompts, load_text, plain
from mpo_core.evaluation.statistics import Interval
from mpo_experiments.align.evaluation import (
    Generation,
    PairScores,
    Preference,
    alpaca_outputs,
    generate,
    load_plain,
    preferences,
    read_outputs,
    score_pairs,
    win_rate,
)
from mpo_experiments.align.settings import AlignSettings
from mpo_experiments.progress import Reporter


@dataclasses.dataclass(frozen=True)
class Question:
    """What a user asks."""

    model: str
    dataset: str
    split: str
    reference: str | None
    limit: int | None
    max_length: int
    batch: int
    judge: str | None
    against: str
    chat: bool
    chat_template: str | None
    generates: bool
    generation: Generation

    @property
    def before(self) -> str | None:
        """The model that it was trained from, if it is known."""
        base = base_of(self.model)
        return self.reference or (base if base != self.model else None)


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question whose data have been read."""

    question: Question
    tokenizer: Any
    pairs: Any
    """None if the data are prompts alone."""
    prompts: list[Any]
    opponent: list[str] | None
    """The answers that the judge compares with; None without a judge, or where the reference is to give them."""


@dataclasses.dataclass(frozen=True)
class Found:
    """The answers."""

    pairs: int
    left_out: int
    preferences: list[Preference]
    outputs: list[dict[str, str]]
    wins: Interval | None
    against: str

    def lines(self) -> list[str]:
        """For a person."""
        said = [
            f"{one.by:<27} accuracy {one.accuracy}  margin {one.margin.estimate:.4g} "
            f"[{one.margin.low:.4g}, {one.margin.high:.4g}] nats"
            for one in self.preferences
        ]
        if said:
            cut = f", {self.left_out} left out: the prompt alone fills the length" if self.left_out else ""
            said.append(f"{self.pairs} held-out pairs{cut}; mean with 95 % t interval")
        if self.wins is not None:
            said.append(f"win rate against {self.against}  {self.wins}, {self.wins.units} prompts, 95 % t interval")
        return said

    def as_json(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "pairs": self.pairs,
            "left_out": self.left_out,
            "preferences": {
                one.by: {"accuracy": dataclasses.asdict(one.accuracy), "margin": dataclasses.asdict(one.margin)}
                for one in self.preferences
            },
            "win_rate": None if self.wins is None else dataclasses.asdict(self.wins) | {"against": self.against},
        }


def prepare_questions(question: Question) -> Asked:
    """Reads everything but the weights.

    Raises:
        ValueError: one sentence: a model, data or opponents that cannot be used, or a question that comes to nothing.
    """
    for model in filter(None, (question.model, question.before)):
        check_model(model)
    tokenizer = load_tokenizer(question.model)
    paired = "chosen" in load_text(question.dataset, question.split).column_names
    pairs = load_pairs(question.dataset, question.split) if paired else None
    prompts = list(pairs["prompt"]) if pairs is not None else load_prompts(question.dataset, question.split)
    if pairs is not None and question.limit is not None:
        pairs = pairs.select(range(min(question.limit, len(pairs))))
    prompts = prompts[: question.limit]
    if question.chat:
        prompts = [one if is_talk(one) else [{"role": "user", "content": one}] for one in prompts]
    if is_talk(prompts[0]) or question.chat_template is not None:
        set_chat_template(tokenizer, question.chat_template, question.model)
    if pairs is None and not question.generates and question.judge is None:
        raise ValueError(f"dataset {question.dataset}: has prompts alone; ask for --generate or --judge, or give pairs")
    return Asked(question, tokenizer, pairs, prompts, _opponent(question, pairs, prompts))


def answer(asked: Asked, reporter: Reporter) -> Found:
    """Loads a model at a time and answers.

    Raises:
        WorkFailed: weights that cannot be loaded, or a judge that does not judge.
    """
    question = asked.question
    model = load_plain(question.model)
    policy, answers = _scores(asked, model, reporter), _answers(asked, model, reporter)
    del model
    reference, opponent = None, asked.opponent
    asks_reference = question.judge is not None and opponent is None
    if question.before is not None and (asked.pairs is not None or asks_reference):
        model = load_plain(question.before)
        reference = _scores(asked, model, reporter)
        if asks_reference:
            opponent = generate(model, asked.tokenizer, asked.prompts, question.generation, reporter)
    wins = None
    if question.judge is not None and opponent is not None:
        wins = win_rate(question.judge, asked.prompts, answers, opponent, question.generation.seed)
    scored = 0 if policy is None else len(policy.chosen)
    return Found(
        pairs=scored,
        left_out=0 if asked.pairs is None else len(asked.pairs) - scored,
        preferences=[] if policy is None else preferences(policy, reference),
        outputs=alpaca_outputs(asked.prompts, answers, Path(question.model).name) if answers else [],
        wins=wins,
        against=question.against,
    )


def _opponent(question: Question, pairs: Any, prompts: list[Any]) -> list[str] | None:
    if question.judge is None:
        return None
    if question.against == "reference":
        if question.before is None:
            raise ValueError("--against reference: name it with --reference")
        return None
    if question.against != "chosen":
        return read_outputs(Path(question.against), prompts)
    if pairs is None:
        raise ValueError("--against chosen: the data have prompts alone; choose reference or a file of outputs")
    return [plain(one) for one in pairs["chosen"]]


def _scores(asked: Asked, model: Any, reporter: Reporter) -> PairScores | None:
    if asked.pairs is None:
        return None
    question = asked.question
    settings = AlignSettings(
        model=question.model, dataset=question.dataset, max_length=question.max_length, batch=question.batch,
        micro_batch=question.batch,
    )  # fmt: skip
    return score_pairs(model, settings, asked.tokenizer, asked.pairs, reporter)


def _answers(asked: Asked, model: Any, reporter: Reporter) -> list[str]:
    if not asked.question.generates and asked.question.judge is None:
        return []
    return generate(model, asked.tokenizer, asked.prompts, asked.question.generation, reporter)
