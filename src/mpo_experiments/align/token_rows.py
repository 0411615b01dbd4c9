"""Pairs as tokens: which of them are scored, how they are cut, and which pairs have nothing left to learn from."""

import dataclasses
from typing import Any, Literal, Protocol, runtime_checkable

from mpo_experiments.align.conversations import Message
from mpo_experiments.align.preference_rows import PreferenceRow

Scored = Literal["assistant", "all"]


@runtime_checkable
class Encoder(Protocol):
    """A tokenizer with its chat template."""

    @property
    def eos(self) -> int:
        """The token that ends a sequence."""
        ...

    @property
    def eos_text(self) -> str:
        """How it is written."""
        ...

    def text(self, text: str) -> list[int]:
        """Tokens of a text, with those that the tokenizer adds."""
        ...

    def messages(self, messages: list[Message], tools: Any, opens: bool) -> list[int]:
        """Tokens of a conversation.

        Args:
            opens: whether the assistant's next turn is opened.

        Raises:
            ValueError: the template cannot take it, and why.
        """
        ...


@dataclasses.dataclass(frozen=True)
class TokenRule:
    """How pairs become tokens."""

    max_length: int | None = 1024
    """Tokens of prompt and answer together."""
    keep_end: bool = False
    """Whether what is too long loses its begin; else its end."""
    scored: Scored = "assistant"
    """`assistant`: in answers of several turns the assistant's alone; `all`: whatever follows the prompt."""

    def kept(self, tokens: list[Any]) -> list[Any]:
        """What is left of a sequence."""
        if self.max_length is None:
            return tokens
        return tokens[-self.max_length :] if self.keep_end else tokens[: self.max_length]


@dataclasses.dataclass(frozen=True)
class Side:
    """The tokens of an answer, and 1 for each that is scored."""

    tokens: list[int]
    scored: list[int]


@dataclasses.dataclass(frozen=True)
class TokenRow:
    """A pair in tokens."""

    prompt: list[int]
    chosen: Side
    rejected: Side
    margin: float | None
    number: int

    def is_too_long(self, rule: TokenRule) -> bool:
        """Whether the prompt fills the length, or no scored token of an answer is left in it."""
        if rule.max_length is not None and not rule.keep_end and len(self.prompt) >= rule.max_length:
            return True
        return not all(any(self._scored(side, rule)[1:]) for side in (self.chosen, self.rejected))

    def is_same(self, rule: TokenRule) -> bool:
        """Whether both answers are the same tokens, once they are cut."""
        chosen, rejected = (rule.kept([*self.prompt, *side.tokens]) for side in (self.chosen, self.rejected))
        return chosen == rejected

    def is_cut(self, rule: TokenRule) -> bool:
        """Whether an answer loses tokens."""
        most = len(self.prompt) + max(len(self.chosen.tokens), len(self.rejected.tokens))
        return rule.max_length is not None and most > rule.max_length

    def _scored(self, side: Side, rule: TokenRule) -> list[int]:
        return rule.kept([*([0] * len(self.prompt)), *side.scored])


def token_row(row: PreferenceRow, encoder: Encoder, scored: Scored = "assistant") -> TokenRow:
    """A pair in tokens, uncut. In text, an answer ends with one token that ends a sequence.

    An answer begins where the tokens of the prompt alone and of prompt and answer part.

    Raises:
        ValueError: the chat template cannot take its messages, and why.
    """
    if isinstance(row.prompt, str):
        alone = encoder.text(row.prompt)
        both = [_ended(encoder, f"{row.prompt}{answer}") for answer in (row.chosen, row.rejected)]
    else:
        alone = encoder.messages(row.prompt, row.tools, opens=True)
        both = [
            _once(encoder.messages([*row.prompt, *answer], row.tools, opens=False), encoder.eos)
            for answer in (row.chosen, row.rejected)
            if isinstance(answer, list)
        ]
    start = min(_common(alone, tokens) for tokens in both)
    masks = [[1] * (len(tokens) - start) for tokens in both]
    if isinstance(row.prompt, list) and scored == "assistant":
        masks = [
            _turns(row, answer, encoder, tokens, start)
            for answer, tokens in zip((row.chosen, row.rejected), both, strict=True)
        ]
    sides = [Side(tokens[start:], mask) for tokens, mask in zip(both, masks, strict=True)]
    return TokenRow(both[0][:start], *sides, margin=row.margin, number=row.number)


def _turns(row: PreferenceRow, answer: Any, encoder: Encoder, tokens: list[int], start: int) -> list[int]:
    """1 for each token of the assistant's turns, without their headers."""
    if all(message["role"] == "assistant" for message in answer):
        return [1] * (len(tokens) - start)
    mask = [0] * len(tokens)
    for place, message in enumerate(answer):
        if message["role"] != "assistant":
            continue
        before, until = [*row.prompt, *answer[:place]], [*row.prompt, *answer[: place + 1]]
        first = start if place == 0 else _common(encoder.messages(before, row.tools, opens=True), tokens)
        last = place == len(answer) - 1
        end = len(tokens) if last else _common(encoder.messages(until, row.tools, opens=False), tokens)
        if end <= first:
            raise ValueError(
                "the chat template writes a turn of the assistant otherwise once another one follows, so that its "
                "tokens cannot be told: score whatever follows the prompt (scored=all)"
            )
        mask[first:end] = [1] * (end - first)
    return mask[start:]


def _ended(encoder: Encoder, text: str) -> list[int]:
    """Tokens of a text with one end of sequence, whether it, the tokenizer, both or neither bring one."""
    tokens = encoder.text(text if text.endswith(encoder.eos_text) else f"{text}{encoder.eos_text}")
    return _once(tokens if tokens[-1:] == [encoder.eos] else [*tokens, encoder.eos], encoder.eos)


def _once(tokens: list[int], eos: int) -> list[int]:
    """Without repetitions of the token that ends a sequence, at its end."""
    size = len(tokens)
    while size > 1 and tokens[size - 1] == tokens[size - 2] == eos:
        size -= 1
    return tokens[:size]


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens two sequences share from their begin."""
    most = min(len(one), len(other))
    return next((place for place in range(most) if one[place] != other[place]), most)
