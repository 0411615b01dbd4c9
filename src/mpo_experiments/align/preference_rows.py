"""How a row of preference data is read: a prompt, two answers and a margin, or the reason why it is no pair.

The rule is ours. A prompt that is not given is what both sides share, cut back to the start of a word (in
conversations: to a turn); one that is given and repeated at the head of both sides is taken once. No text is lost.
"""

import dataclasses
import itertools
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from mpo_experiments.align.conversations import Message, cell_text, messages_of, read_conversation

WORD_START = re.compile(r"(?<=\s)(?=\S)")
LARGEST_MARGIN = 3.4e38
"""What single precision holds."""
SHOWN_FAULTS = 3
SHOWN_ROWS = 8


@dataclasses.dataclass(frozen=True)
class PreferenceRow:
    """A pair: all three in text, or all three lists of messages."""

    prompt: str | list[Message]
    chosen: str | list[Message]
    rejected: str | list[Message]
    margin: float | None = None
    """Chosen minus rejected reward, in standard deviations of the data; None where the objective reads none."""
    tools: Any = None
    """What the chat template is told of tools."""
    number: int = 1
    """Its row in the data; the first is 1."""

    @property
    def is_tie(self) -> bool:
        """Whether both answers are the same, which holds no preference."""
        return self.chosen == self.rejected

    @property
    def is_near_tie(self) -> bool:
        """Whether the answers differ in case or white space alone."""
        return not self.is_tie and _folded(self.chosen) == _folded(self.rejected)


@dataclasses.dataclass(frozen=True)
class RowRule:
    """What is asked of a row."""

    margin: bool = False
    """Whether the objective reads margins: each row then needs one."""
    template_words: frozenset[str] = frozenset()
    """What the chat template knows beyond roles and contents (`conversations.template_words`)."""


@dataclasses.dataclass(frozen=True)
class RowReading:
    """The rows of some data."""

    rows: list[PreferenceRow]
    """Without ties."""
    count: int
    """Of all rows, ties too."""
    ties: list[int]
    """Their rows."""
    near_ties: list[int]


def read_rows(rows: Iterable[Any], where: str, rule: RowRule) -> RowReading:
    """Reads every row; ties are left out.

    Args:
        where: how a message names the data.

    Raises:
        ValueError: one sentence: which rows are no pairs, each with its reason, or that no pair is left.
    """
    found: list[PreferenceRow] = []
    ties: list[int] = []
    faults: list[str] = []
    talk: bool | None = None
    number = 0
    for number, row in enumerate(rows, 1):
        try:
            read = dataclasses.replace(read_row(row, rule), number=number)
            talk = isinstance(read.chosen, list) if talk is None else talk
            if isinstance(read.chosen, list) is not talk:
                raise ValueError("text and messages do not mix: the rows before it are of the other kind")
        except ValueError as error:
            faults.append(f"row {number}: {error}")
            continue
        if read.is_tie:
            ties.append(number)
        else:
            found.append(read)
    if faults:
        raise _refused(where, faults, number)
    if not found:
        raise ValueError(f"{where}: holds no pair: chosen and rejected are equal in all {number} rows")
    return RowReading(found, number, ties, [row.number for row in found if row.is_near_tie])


def read_row(row: Any, rule: RowRule) -> PreferenceRow:
    """Reads a row with `prompt`, `chosen`, `rejected` and, if there are such, `system`, `margin` and `tools`.

    Numbers in cells of text are text. A `system` text is the first message of a conversation; in text it stands before
    the prompt, with an empty line between.

    Raises:
        ValueError: the reason why it is no pair.
    """
    if not isinstance(row, dict):
        raise ValueError("is no object with prompt, chosen and rejected")
    chosen, rejected, prompt = row.get("chosen"), row.get("rejected"), row.get("prompt")
    system = None if row.get("system") is None else cell_text(row["system"], "system")
    margin = read_margin(row.get("margin")) if rule.margin else None
    if isinstance(chosen, list) or isinstance(rejected, list):
        parts = read_conversation(prompt, chosen, rejected, system, rule.template_words)
        return PreferenceRow(*parts, margin=margin, tools=row.get("tools") or None)
    if isinstance(prompt, list):
        raise ValueError("the prompt is messages, and chosen and rejected are text: give all in one form")
    sides = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    if prompt is None:
        head, *sides = _split(*sides)
    else:
        head, *sides = _taken_once(cell_text(prompt, "prompt"), *sides)
    if system and system.strip() and not head.startswith(system):
        head = f"{system}\n\n{head}"
    return PreferenceRow(head, *sides, margin=margin)


def read_margin(value: Any) -> float:
    """A finite number; text that is a number is converted.

    Raises:
        ValueError: it is missing, no number, or not finite in single precision.
    """
    if value is None:
        raise ValueError("has no margin, which the objective reads")
    shown = repr(value)[:40]
    try:
        if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
            raise ValueError
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"margin {shown} is no number") from None
    if not math.isfinite(number) or abs(number) > LARGEST_MARGIN:
        raise ValueError(f"margin {shown} is not finite")
    return number


def read_prompts(rows: Iterable[Any], name: str, where: str, rule: RowRule) -> list[Any]:
    """Prompts alone: text, or lists of messages that do not end with the assistant.

    Args:
        name: the column.

    Raises:
        ValueError: one sentence: which rows hold no prompt, each with its reason.
    """
    prompts: list[Any] = []
    faults: list[str] = []
    number = 0
    for number, row in enumerate(rows, 1):
        try:
            prompts.append(_prompt(row, name, rule))
        except ValueError as error:
            faults.append(f"row {number}: {error}")
    if faults:
        raise _refused(where, faults, number)
    return prompts


def shown_rows(numbers: list[int]) -> str:
    """Row numbers for a sentence."""
    shown = ", ".join(map(str, numbers[:SHOWN_ROWS]))
    return f"{shown}, ..." if len(numbers) > SHOWN_ROWS else shown


def is_talk(value: Any) -> bool:
    """Whether a prompt or answer is a list of messages."""
    return isinstance(value, list)


def plain(value: Any) -> str:
    """A prompt or answer as text for a person or judge: of messages, the contents."""
    return "\n".join(message["content"] for message in value) if is_talk(value) else value


def _prompt(row: Any, name: str, rule: RowRule) -> Any:
    value = row.get(name) if isinstance(row, dict) else None
    system = row.get("system") if isinstance(row, dict) else None
    system = None if system is None or not cell_text(system, "system").strip() else cell_text(system, "system")
    if not isinstance(value, list):
        text = cell_text(value, name)
        if not text.strip():
            raise ValueError(f"{name} is empty")
        return text if system is None or text.startswith(system) else f"{system}\n\n{text}"
    found = messages_of(value, name, rule.template_words)
    if found[-1]["role"] == "assistant":
        raise ValueError(f"{name} ends with the assistant: there is nothing to answer")
    return found if system is None or found[0]["role"] == "system" else [{"role": "system", "content": system}, *found]


def _refused(where: str, faults: list[str], count: int) -> ValueError:
    if len(faults) == 1:
        return ValueError(f"{where}: {faults[0]} (the first row is 1)")
    more = "; ..." if len(faults) > SHOWN_FAULTS else ""
    listed = "; ".join(faults[:SHOWN_FAULTS])
    return ValueError(f"{where}: {len(faults)} of {count} rows cannot be read: {listed}{more} (the first row is 1)")


def _answer(value: Any, name: str) -> str:
    text = cell_text(value, name)
    if not text.strip():
        raise ValueError(f"{name} is empty")
    return text


def _split(chosen: str, rejected: str) -> tuple[str, str, str]:
    """The shared words as prompt: both sides keep a word, and begin with one."""
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False)))
    last = min(shared, len(chosen.rstrip()) - 1, len(rejected.rstrip()) - 1)
    starts = [at.start() for at in WORD_START.finditer(chosen, 0, min(len(chosen), last + 1)) if at.start() <= last]
    cut = starts[-1] if starts else 0
    return chosen[:cut], chosen[cut:], rejected[cut:]


def _taken_once(prompt: str, chosen: str, rejected: str) -> tuple[str, str, str]:
    """Sides without a prompt that both repeat at their head."""
    size, sides = len(prompt), (chosen, rejected)
    repeated = size > 0 and all(
        side.startswith(prompt) and side[size:].strip() and not _one_word(side[size - 1], side[size]) for side in sides
    )
    return (prompt, chosen[size:], rejected[size:]) if repeated else (prompt, chosen, rejected)


def _one_word(before: str, after: str) -> bool:
    """Whether two characters stand within a word of a script that writes spaces between words."""
    return all(one.isalnum() and unicodedata.category(one) != "Lo" for one in (before, after))


def _folded(answer: str | list[Message]) -> Any:
    if isinstance(answer, str):
        return answer.casefold().split()
    return [message | {"content": message["content"].casefold().split()} for message in answer]
