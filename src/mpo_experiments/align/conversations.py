"""Conversations in preference data: messages as a chat template takes them, and where the prompt ends.

Every message has a `role` and a text as `content`; what else it may hold depends on the template.
"""

import math
from typing import Any

Message = dict[str, Any]

ROLES = ("system", "user", "assistant")
MORE_ROLES = ("tool", "developer")
"""Only where the template names them."""
MORE_KEYS = ("tool_calls", "tool_call_id", "name", "reasoning_content", "thinking")
"""Of a message; kept where the template names them."""

Parts = tuple[list[Message], list[Message], list[Message]]


def template_words(template: Any) -> frozenset[str]:
    """What a chat template names beyond roles and contents."""
    return frozenset(word for word in (*MORE_ROLES, *MORE_KEYS) if word in str(template or ""))


def cell_text(value: Any, name: str) -> str:
    """A cell as text; a number is the text that writes it.

    Raises:
        ValueError: it is missing, of another kind, or no valid Unicode.
    """
    if value is None:
        raise ValueError(f"{name} is empty")
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = str(value) if isinstance(value, int) or math.isfinite(value) else value
        except ValueError:  # Python writes no more than some thousand digits
            raise ValueError(f"{name} is a number of too many digits") from None
    if not isinstance(value, str):
        raise ValueError(f"{name} is {_kind(value)}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half of a surrogate pair, which is no text") from None
    return value


def read_conversation(prompt: Any, chosen: Any, rejected: Any, system: str | None, known: frozenset[str]) -> Parts:
    """Prompt, chosen and rejected as lists of messages, each turn once.

    Args:
        prompt: messages; None or an empty list if the sides hold it; text only where it repeats a user's message.
        system: text of the system's message, if it stands apart.
        known: `template_words` of the template.

    Raises:
        ValueError: the reason why it is no pair.
    """
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(side, list):
            raise ValueError(f"text and messages do not mix: {name} is {_kind(side)}, and the other side is messages")
    sides = messages_of(chosen, "chosen", known), messages_of(rejected, "rejected", known)
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        _check_answer(name, side)
    if isinstance(prompt, list) and prompt:
        parts = _with_prompt(messages_of(prompt, "prompt", known), *sides)
    else:
        parts = _shared(*sides)
        _check_repeated(prompt, parts[0], sides)
    head = _with_system(parts[0], system)
    if not head:
        raise ValueError("has no prompt: both sides begin with the assistant")
    if head[-1]["role"] == "assistant":
        raise ValueError("the prompt ends with the assistant: there is nothing to answer")
    return head, parts[1], parts[2]


def messages_of(value: list[Any], name: str, known: frozenset[str]) -> list[Message]:
    """Messages, each with a role and a text as content.

    Raises:
        ValueError: there is none, or one that a template cannot take.
    """
    if not value:
        raise ValueError(f"{name} is empty")
    return [_message(one, name, known) for one in value]


def _message(value: Any, name: str, known: frozenset[str]) -> Message:
    if not isinstance(value, dict) or not {"role", "content"} <= value.keys() | _calls(value):
        raise ValueError(f"{name} has messages without 'role' and 'content'")
    role, content = value["role"], value.get("content")
    roles = [*ROLES, *(one for one in MORE_ROLES if one in known)]
    if role not in roles:
        raise ValueError(
            f"{name} has a message of the role {str(role)[:40]!r}, and the template takes {_listed(roles)}"
        )
    if value.get("tool_calls") and "tool_calls" not in known:
        raise ValueError(f"{name} has a message with tool calls, which the chat template does not know")
    kept = {key: value[key] for key in MORE_KEYS if key in known and value.get(key)}
    where = f"the content of {name}'s message of the {role}"
    if content is None and "tool_calls" in kept:
        content = ""
    elif isinstance(content, list):
        content = _joined(content, where)
    return {"role": role, "content": cell_text(content, where), **kept}


def _calls(value: dict[Any, Any]) -> set[str]:
    """A message that calls tools needs no content."""
    return {"content"} if value.get("tool_calls") else set()


def _joined(parts: list[Any], where: str) -> str:
    """The text of parts `{"type": "text", "text": ...}`."""
    if not parts or not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise ValueError(f"{where} is a list without text, or with parts that are no text")
    return "".join(part["text"] for part in parts)


def _check_answer(name: str, side: list[Message]) -> None:
    last = side[-1]
    if last["role"] != "assistant":
        raise ValueError(f"{name} must end with the assistant's answer and ends with a message of the {last['role']}")
    if not last["content"].strip() and not last.get("tool_calls"):
        raise ValueError(f"{name} is empty: the content of its last message is")


def _with_prompt(prompt: list[Message], chosen: list[Message], rejected: list[Message]) -> Parts:
    """Sides without turns of the prompt that they repeat."""
    rests = [_after(prompt, side) for side in (chosen, rejected)]
    if all(rest is not None and rest[0]["role"] == "assistant" for rest in rests):
        return prompt, *rests  # pyright: ignore[reportReturnType]
    if all(rest is not None for rest in rests):
        more, *sides = _shared(*rests)  # pyright: ignore[reportArgumentType]
        return [*prompt, *more], *sides  # pyright: ignore[reportReturnType]
    held, *sides = _shared(chosen, rejected)
    if held[-len(prompt) :] == prompt:  # with a system's message before it
        return held, *sides  # pyright: ignore[reportReturnType]
    if held and prompt[-1]["role"] == "assistant":
        return [*prompt, *held], *sides  # pyright: ignore[reportReturnType]
    raise ValueError("the prompt contradicts the conversation that chosen and rejected hold")


def _after(prompt: list[Message], side: list[Message]) -> list[Message] | None:
    """A side after its repetition of the prompt's last turns; None if it begins with others."""
    for size in range(min(len(prompt), len(side) - 1), 0, -1):
        if prompt[-size:] == side[:size]:
            return side[size:]
    return side if side[0]["role"] == "assistant" else None


def _shared(chosen: list[Message], rejected: list[Message]) -> Parts:
    """The shared turns as prompt: both sides keep an answer, and begin with one."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    parted = [side[shared] for side in (chosen, rejected)]
    if any(one["role"] != "assistant" for one in parted):
        raise ValueError("chosen and rejected share no prompt: they part at a turn that is not the assistant's")
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _check_repeated(prompt: Any, held: list[Message], sides: tuple[list[Message], list[Message]]) -> None:
    """A prompt in text beside conversations may only repeat a message of the user."""
    if prompt is None or prompt == [] or not cell_text(prompt, "prompt").strip():
        return
    if not held and sides[0][0]["role"] == "assistant":
        raise ValueError("the prompt is text, and chosen and rejected are messages: give all in one form")
    text = cell_text(prompt, "prompt").strip()
    if text not in [one["content"].strip() for one in held if one["role"] == "user"]:
        raise ValueError("the prompt contradicts the conversation that chosen and rejected hold")


def _with_system(prompt: list[Message], system: str | None) -> list[Message]:
    if system is None or not system.strip():
        return prompt
    if prompt and prompt[0]["role"] == "system":
        if prompt[0]["content"].strip() != system.strip():
            raise ValueError("the column system contradicts the system's message of the conversation")
        return prompt
    return [{"role": "system", "content": system}, *prompt]


def _kind(value: Any) -> str:
    names = {str: "text", list: "a list", dict: "an object", bool: "true or false", float: "no finite number"}
    return names.get(type(value), type(value).__name__) if value is not None else "empty"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
