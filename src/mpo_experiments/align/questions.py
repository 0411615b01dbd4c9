"""`mpo align evaluate`: what is asked of a model, checked before any weight is loaded, and the answers."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from adapters.storage.files import beside, write_json
from adapters.torch.answers import Generation, generate
from adapters.torch.language_models import TokenEncoder, check_model, load_tokenizer, set_chat_template
from adapters.torch.preference_text import TextRows, load_text
from mpo_core.evaluation.statistics import Interval
from mpo_experiments.align.arguments import trained_from
from mpo_experiments.align.conversations import template_words
from mpo_experiments.align.evaluation import (
    PairScores,
    Preference,
    alpaca_outputs,
    load_plain,
    preferences,
    prompt_tokens,
    read_outputs,
    score_pairs,
)
from mpo_experiments.align.judge import Judge, win_rate
from mpo_experiments.align.pairs import PairRule, Pairs, holds_talk, pair_rows, read_pairs
from mpo_experiments.align.preference_rows import RowRule, is_talk, plain, read_prompts
from mpo_experiments.align.settings import AlignSettings
from mpo_experiments.align.token_rows import Scored, TokenRule
from mpo_experiments.progress import Reporter

PROMPTS = ("prompt", "instruction")
"""Columns of prompts alone; the second as in AlpacaEval."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What a user asks."""

    model: str
    dataset: str
    split: str = "test"
    reference: str | None = None
    """The model before training, where it is named."""
    limit: int | None = None
    max_length: int = 1024
    max_left_out: float = 0.1
    scored: Scored = "assistant"
    batch: int = 8
    judge: Judge | None = None
    against: str = "chosen"
    chat: bool = False
    chat_template: str | None = None
    answers_to: Path | None = None
    """File that answers are written to, before a judge begins."""
    answers_from: Path | None = None
    """File of answers that were made before."""
    generation: Generation = dataclasses.field(default_factory=Generation)

    @property
    def wants_answers(self) -> bool:
        """Whether prompts are answered, or were."""
        return self.judge is not None or self.answers_to is not None


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question whose data have been read."""

    question: Question
    tokenizer: Any
    before: str | None
    """The model before training, if it is known."""
    pairs: Pairs | None
    """None if the data are prompts alone."""
    prompts: list[Any]
    tokens: list[list[int]]
    """Of the prompts; empty if none is answered."""
    answers: list[str] | None
    """Those that were made before."""
    opponent: list[str] | None
    """The answers that the judge compares with; None without a judge, or where the reference is to give them."""

    def notes(self) -> list[str]:
        """What a user should know before it begins."""
        return [] if self.pairs is None else self.pairs.notes()


@dataclasses.dataclass(frozen=True)
class Found:
    """The answers."""

    pairs: int
    left_out: int
    ties: int
    preferences: list[Preference]
    wins: Interval | None
    against: str
    answers: int
    """To prompts; 0 if none was asked for."""
    empty: int
    """Of the answers, those without a word."""

    def lines(self) -> list[str]:
        """For a person."""
        said = [
            f"{one.by:<27} accuracy {one.accuracy}  margin {one.margin.estimate:.4g} "
            f"[{one.margin.low:.4g}, {one.margin.high:.4g}] nats"
            for one in self.preferences
        ]
        if said:
            cut = f", {self.left_out} left out for their length" if self.left_out else ""
            ties = f", {self.ties} ties left out" if self.ties else ""
            said.append(
                f"{self.pairs} held-out pairs{cut}{ties}; accuracy with 95 % Wilson, margin with 95 % t interval"
            )
        if self.empty:
            said.append(f"{self.empty} of {self.answers} answers {'is' if self.empty == 1 else 'are'} empty")
        if self.wins is not None:
            said.append(
                f"win rate against {self.against}  {self.wins}, {self.wins.units} prompts, 95 % Wilson interval"
            )
        return said

    def as_json(self) -> dict[str, Any]:
        """All numbers; null where there is none."""
        return {
            "pairs": self.pairs,
            "left_out": self.left_out,
            "ties": self.ties,
            "preferences": {
                one.by: {"accuracy": _numbers(one.accuracy), "margin": _numbers(one.margin)} for one in self.preferences
            },
            "answers": self.answers,
            "empty_answers": self.empty,
            "win_rate": None if self.wins is None else _numbers(self.wins) | {"against": self.against},
        }


def _numbers(interval: Interval) -> dict[str, Any]:
    """Of an interval; of a single unit it has no ends."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in dataclasses.asdict(interval).items()
    }


def prepare_questions(question: Question) -> Asked:
    """Reads everything but the weights.

    Raises:
        ValueError: one sentence: a model, data or opponents that cannot be used, or a question that comes to nothing.
    """
    check_model(question.model)
    before = question.reference or trained_from(question.model)
    if before is not None:
        check_model(before)
    tokenizer = load_tokenizer(question.model)
    rows = load_text(question.dataset, question.split)
    paired = "chosen" in rows.columns
    rows = (pair_rows(rows) if paired else rows).first(question.limit)
    talks = holds_talk(rows, ("chosen", "rejected", *PROMPTS))
    if talks or question.chat or question.chat_template is not None:
        set_chat_template(tokenizer, question.chat_template, question.model)
    encoder = TokenEncoder(tokenizer)
    rule = PairRule(
        RowRule(template_words=template_words(tokenizer.chat_template)),
        TokenRule(question.max_length, scored=question.scored),
        question.max_left_out,
    )
    pairs = read_pairs(rows, rows.where, encoder, rule) if paired else None
    prompts = _prompts(rows, rule.rows) if pairs is None else [row.prompt for row in pairs.rows]
    tools = None if pairs is None else [row.tools for row in pairs.rows]
    if question.chat:
        prompts = [one if is_talk(one) else [{"role": "user", "content": one}] for one in prompts]
    if pairs is None and not question.wants_answers:
        raise ValueError(f"dataset {question.dataset}: has prompts alone; ask for --generate or --judge, or give pairs")
    return Asked(
        question=question,
        tokenizer=tokenizer,
        before=before,
        pairs=pairs,
        prompts=prompts,
        tokens=prompt_tokens(prompts, encoder, tools) if question.wants_answers else [],
        answers=None if question.answers_from is None else read_outputs(question.answers_from, prompts),
        opponent=_opponent(question, before, pairs, prompts),
    )


def answer(asked: Asked, reporter: Reporter) -> Found:
    """Loads a model at a time and answers; answers are written before a judge begins.

    Raises:
        WorkFailed: weights that cannot be loaded, or a judge that does not judge.
    """
    question = asked.question
    policy, answers = None, asked.answers
    if asked.pairs is not None or (answers is None and question.wants_answers):
        model = load_plain(question.model)
        policy = _scores(asked, model, reporter)
        if answers is None and question.wants_answers:
            answers = _answers(asked, model, reporter)
        del model
    _write(question.answers_to, asked, answers, question.model, reporter)
    reference, opponent = None, asked.opponent
    asks_reference = question.judge is not None and opponent is None
    if asked.before is not None and (asked.pairs is not None or asks_reference):
        model = load_plain(asked.before)
        reference = _scores(asked, model, reporter)
        if asks_reference:
            opponent = _answers(asked, model, reporter)
            path = None if question.answers_to is None else beside(question.answers_to, ".reference.json")
            _write(path, asked, opponent, asked.before, reporter)
    wins = None
    if question.judge is not None and opponent is not None and answers is not None:
        wins = win_rate(question.judge, asked.prompts, answers, opponent)
    counts = None if asked.pairs is None else asked.pairs.counts
    return Found(
        pairs=0 if counts is None else counts.used,
        left_out=0 if counts is None else counts.too_long + counts.same_tokens,
        ties=0 if counts is None else counts.ties,
        preferences=[] if policy is None else preferences(policy, reference),
        wins=wins,
        against=question.against,
        answers=len(answers or []),
        empty=sum(not one.strip() for one in answers or []),
    )


def _write(path: Path | None, asked: Asked, answers: list[str] | None, model: str, reporter: Reporter) -> None:
    if path is None or answers is None:
        return
    write_json(path, alpaca_outputs(asked.prompts, answers, Path(model).name))
    reporter.note(f"  answers of {model} are in {path}")


def _prompts(rows: TextRows, rule: RowRule) -> list[Any]:
    name = next((name for name in PROMPTS if name in rows.columns), None)
    if name is None:
        raise ValueError(f"{rows.where}: has no column 'prompt' or 'instruction' (it has {', '.join(rows.columns)})")
    return read_prompts(rows, name, rows.where, rule)


def _opponent(question: Question, before: str | None, pairs: Pairs | None, prompts: list[Any]) -> list[str] | None:
    if question.judge is None:
        return None
    if question.against == "reference":
        if before is None:
            raise ValueError("--against reference: name it with --reference")
        return None
    if question.against != "chosen":
        return read_outputs(Path(question.against), prompts)
    if pairs is None:
        raise ValueError("--against chosen: the data have prompts alone; choose reference or a file of outputs")
    return [plain(row.chosen) for row in pairs.rows]


def _answers(asked: Asked, model: Any, reporter: Reporter) -> list[str]:
    reporter.stage("answering", len(asked.tokens), "prompt")
    return generate(model, asked.tokenizer, asked.tokens, asked.question.generation, reporter.advance)


def _scores(asked: Asked, model: Any, reporter: Reporter) -> PairScores | None:
    if asked.pairs is None:
        return None
    question = asked.question
    settings = AlignSettings(
        model=question.model, dataset=question.dataset, max_length=question.max_length, batch=question.batch,
        micro_batch=question.batch,
    )  # fmt: skip
    return score_pairs(model, settings, asked.tokenizer, asked.pairs, reporter)
