"""How rows of preference data are read: kinds that people reported trouble with, and generated ones beside them."""

import math

import pytest
from hypothesis import given, settings, strategies as st

from mpo_experiments.align.conversations import template_words
from mpo_experiments.align.preference_rows import RowRule, read_margin, read_prompts, read_row, read_rows

USER, HELLO, NO = ({"role": role, "content": text} for role, text in
                   (("user", "hi"), ("assistant", "hello"), ("assistant", "no")))  # fmt: skip
MORE, SURE = {"role": "user", "content": "more"}, {"role": "assistant", "content": "sure"}
BRIEF = {"role": "system", "content": "Be brief."}
PLAIN = RowRule()
TOOLS = RowRule(template_words=template_words("{{ message.tool_calls }} {% if role == 'tool' %}"))
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}

TEXT = {
    "nothing is shared: no prompt, nothing is cut": (("Paris ", "London"), ("", "Paris ", "London")),
    "one letter is shared": (("Paris", "Pisa"), ("", "Paris", "Pisa")),
    "whole words alone": (("The sky is grey", "The sky is blue"), ("The sky is ", "grey", "blue")),
    "half a word": (("a cat is catlike", "a cat is cattle"), ("a cat is ", "catlike", "cattle")),
    "first letters": (("Human: hi\n\nAssistant: fine", "Human: hi\n\nAssistant: flat"),
                      ("Human: hi\n\nAssistant: ", "fine", "flat")),
    "one the start of the other": (("The sky", "The sky is blue"), ("The ", "sky", "sky is blue")),
    "the start with white space": (("The sky ", "The sky is"), ("The ", "sky ", "sky is")),
    "the other way round": (("The sky is blue", "The sky"), ("The ", "sky is blue", "sky")),
    "a single word and more": (("yes", "yes, please"), ("", "yes", "yes, please")),
    "a script without spaces": (("天空是灰色", "天空是蓝色"), ("", "天空是灰色", "天空是蓝色")),
    "white space that differs": (("Q: a", "Q:  b"), ("Q: ", "a", " b")),
    "white space at the head": (("  x", "  y"), ("  ", "x", "y")),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXT)
def test_text_without_a_prompt_is_split_at_a_word(kind):
    (chosen, rejected), right = TEXT[kind]
    for given_prompt in ({}, {"prompt": None}):
        found = read_row({"chosen": chosen, "rejected": rejected, **given_prompt}, PLAIN)
        assert (found.prompt, found.chosen, found.rejected) == right


@pytest.mark.parametrize(
    ("row", "right"),
    [
        (("Q: ", "Q: yes", "Q: no"), ("Q: ", "yes", "no")),
        (("Q:", "Q: yes", "Q: no"), ("Q:", " yes", " no")),
        (("天空是", "天空是灰色", "天空是蓝色"), ("天空是", "灰色", "蓝色")),
        (("Q: ", "Q: yes", "no"), ("Q: ", "Q: yes", "no")),
        (("Count from 1", "Count from 10", "Count from 11"), ("Count from 1", "Count from 10", "Count from 11")),
        (("hi", "hi", "hi there"), ("hi", "hi", "hi there")),
        (("", "a b", "a c"), ("", "a b", "a c")),
        (("Add 1 and 1.", 2, 3), ("Add 1 and 1.", "2", "3")),
        ((7, 2.5, "no"), ("7", "2.5", "no")),
    ],
)
def test_a_prompt_that_is_given_is_taken_once(row, right):
    found = read_row(dict(zip(("prompt", "chosen", "rejected"), row, strict=True)), PLAIN)
    assert (found.prompt, found.chosen, found.rejected) == right


TALK = {
    "the prompt is repeated": (([USER], [USER, HELLO], [USER, NO]), ([USER], [HELLO], [NO])),
    "repeated on one side": (([USER], [USER, HELLO], [NO]), ([USER], [HELLO], [NO])),
    "its last turn is repeated": (([BRIEF, USER], [USER, HELLO], [USER, NO]), ([BRIEF, USER], [HELLO], [NO])),
    "the sides hold a system's message": (([USER], [BRIEF, USER, HELLO], [BRIEF, USER, NO]),
                                          ([BRIEF, USER], [HELLO], [NO])),
    "shared turns are the prompt": ((None, [USER, HELLO, MORE, SURE], [USER, HELLO, MORE, NO]),
                                    ([USER, HELLO, MORE], [SURE], [NO])),
    "an empty prompt is none": (([], [USER, HELLO], [USER, NO]), ([USER], [HELLO], [NO])),
    "one goes on longer": ((None, [USER, HELLO], [USER, HELLO, MORE, SURE]), ([USER], [HELLO], [HELLO, MORE, SURE])),
    "several turns": (([USER], [HELLO, MORE, SURE], [NO, MORE, NO]), ([USER], [HELLO, MORE, SURE], [NO, MORE, NO])),
    "the sides go on from the prompt": (([USER, HELLO], [MORE, SURE], [MORE, NO]), ([USER, HELLO, MORE], [SURE], [NO])),
    "the prompt as text, too": (("hi", [USER, HELLO], [USER, NO]), ([USER], [HELLO], [NO])),
    "parts of text": (([USER], [{"role": "assistant", "content": [{"type": "text", "text": "hel"},
                                                                  {"type": "text", "text": "lo"}]}], [NO]),
                      ([USER], [HELLO], [NO])),
    "a number": (([USER], [{"role": "assistant", "content": 4}], [NO]),
                 ([USER], [{"role": "assistant", "content": "4"}], [NO])),
    "other keys": (([USER | {"id": 3}], [HELLO | {"tool_calls": None, "score": 1.5}], [NO]), ([USER], [HELLO], [NO])),
}  # fmt: skip


@pytest.mark.parametrize("kind", TALK)
def test_conversations_are_split_at_a_turn(kind):
    (prompt, chosen, rejected), right = TALK[kind]
    found = read_row({"prompt": prompt, "chosen": chosen, "rejected": rejected}, PLAIN)
    assert (found.prompt, found.chosen, found.rejected) == right


REFUSED = {
    "different questions": ((None, [USER, HELLO], [MORE, NO]), "share no prompt"),
    "different questions later": ((None, [USER, HELLO, USER, SURE], [USER, HELLO, MORE, NO]), "share no prompt"),
    "ends with the user": (([USER], [HELLO], [NO, MORE]), "rejected must end with the assistant"),
    "no content": (([USER], [{"role": "assistant", "content": None}], [NO]), "content of chosen's message"),
    "no content key": (([USER], [{"role": "assistant"}], [NO]), "without 'role' and 'content'"),
    "other keys": (([USER], [{"from": "gpt", "value": "x"}], [NO]), "without 'role' and 'content'"),
    "a text prompt": (("hi", [HELLO], [NO]), "are messages"),
    "text and messages": (("hi", [USER, HELLO], "no"), "text and messages"),
    "messages as prompt": (([USER], "yes", "no"), "is messages"),
    "a prompt that contradicts": (([MORE], [USER, HELLO], [USER, NO]), "prompt contradicts"),
    "a text prompt that contradicts": (("bye", [USER, HELLO], [USER, NO]), "prompt contradicts"),
    "no prompt at all": ((None, [HELLO], [NO]), "has no prompt"),
    "the assistant's prompt": (([USER, HELLO], [SURE], [NO]), "prompt ends with the assistant"),
    "an unknown role": (([USER], [{"role": "gpt", "content": "x"}], [NO]), "role 'gpt'"),
    "a role that is no text": (([USER], [{"role": [], "content": "x"}], [NO]), "role '[]'"),
    "an image": (([USER], [{"role": "assistant", "content": [{"type": "image"}]}], [NO]), "without text"),
    "no parts": (([USER], [{"role": "assistant", "content": []}], [NO]), "without text"),
    "an object": (([USER], [{"role": "assistant", "content": {}}], [NO]), "is an object"),
    "no messages": (([USER], [], [NO]), "chosen is empty"),
    "messages that are text": (([USER], ["hello"], [NO]), "without 'role' and 'content'"),
    "an empty answer": (([USER], [{"role": "assistant", "content": " "}], [NO]), "chosen is empty"),
    "tool calls": (([USER], [CALL], [NO]), "tool calls"),
    "an empty text": (("Say it.", "", "no"), "chosen is empty"),
    "white space": (("Say it.", "yes", " \n"), "rejected is empty"),
    "null": (("Say it.", None, "no"), "chosen is empty"),
    "true": (("Say it.", True, "no"), "chosen is true or false"),
    "no number": (("Say it.", math.nan, "no"), "no finite number"),
    "a table": (("Say it.", {"a": 1}, {"b": 2}), "chosen is an object"),
    "half a surrogate pair": (("Say it.", "\ud800", "no"), "surrogate"),
    "one in the prompt": (("\udfff", "yes", "no"), "surrogate"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_pair_is_refused_with_its_reason(kind):
    (prompt, chosen, rejected), says = REFUSED[kind]
    with pytest.raises(ValueError, match=says.replace("[", r"\[")):
        read_row({"prompt": prompt, "chosen": chosen, "rejected": rejected}, PLAIN)


def test_a_system_column_is_the_first_message():
    row = {"system": "Be brief.", "prompt": [USER], "chosen": [HELLO], "rejected": [NO]}
    assert read_row(row, PLAIN).prompt == [BRIEF, USER]
    assert read_row(row | {"prompt": [BRIEF, USER]}, PLAIN).prompt == [BRIEF, USER]
    assert read_row(row | {"system": ""}, PLAIN).prompt == [USER]
    with pytest.raises(ValueError, match="contradicts"):
        read_row(row | {"prompt": [{"role": "system", "content": "Be long."}, USER]}, PLAIN)
    text = {"system": "Be brief.", "prompt": "hi", "chosen": "a", "rejected": "b"}
    assert read_row(text, PLAIN).prompt == "Be brief.\n\nhi"
    assert read_row(text | {"prompt": "Be brief. hi"}, PLAIN).prompt == "Be brief. hi"


def test_tool_calls_go_where_the_template_knows_them():
    said = {"role": "tool", "content": "4"}
    found = read_row({"prompt": [USER], "chosen": [CALL, said, HELLO], "rejected": [NO]}, TOOLS)
    assert found.chosen == [CALL | {"content": ""}, said, HELLO]


@pytest.mark.parametrize(
    ("value", "right"), [("0.5", 0.5), (" -1e-3 ", -1e-3), (2, 2.0), (0.0, 0.0), ("7", 7.0), (-3.5, -3.5)]
)
def test_margins_are_numbers(value, right):
    assert read_margin(value) == right


@pytest.mark.parametrize(
    "value",
    [None, "high", "", math.nan, math.inf, -math.inf, "nan", "inf", True, [1], {}, 1e39, "1e400", 10**400, "1_0"],
)
def test_what_is_no_margin_is_refused_where_the_objective_reads_it(value):
    row = {"prompt": "Q: ", "chosen": "yes", "rejected": "no", "margin": value}
    assert read_row(row, PLAIN).margin is None
    with pytest.raises(ValueError, match="margin"):
        read_row(row, RowRule(margin=True))


def test_ties_are_left_out_and_near_ties_counted():
    same = {"chosen": "Same text", "rejected": "Same text"}
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b"}, same, {"prompt": "p", "chosen": "A b", "rejected": "a  B"}]
    found = read_rows(rows, "data", PLAIN)
    assert ([row.number for row in found.rows], found.ties, found.near_ties, found.count) == ([1, 3], [2], [3], 3)
    assert read_row(same, PLAIN).is_tie
    assert read_row({"prompt": [USER], "chosen": [NO], "rejected": [NO]}, PLAIN).is_tie
    with pytest.raises(ValueError, match="data: holds no pair: chosen and rejected are equal in all 2 rows"):
        read_rows([same, same], "data", PLAIN)


def test_every_row_that_is_refused_is_named():
    good = {"prompt": "p", "chosen": "a", "rejected": "b"}
    with pytest.raises(ValueError, match=r"data: row 2: chosen is empty \(the first row is 1\)"):
        read_rows([good, good | {"chosen": ""}], "data", PLAIN)
    with pytest.raises(ValueError, match=r"data: 2 of 4 rows cannot be read: row 1: is no object.*; row 4: rejected"):
        read_rows([3, good, good, good | {"rejected": None}], "data", PLAIN)
    talk = {"prompt": [USER], "chosen": [HELLO], "rejected": [NO]}
    with pytest.raises(ValueError, match="row 2: text and messages do not mix"):
        read_rows([good, talk], "data", PLAIN)


def test_prompts_alone():
    rows = [{"prompt": "a"}, {"prompt": 3}, {"prompt": [USER], "system": "Be brief."}]
    assert read_prompts(rows, "prompt", "data", PLAIN) == ["a", "3", [BRIEF, USER]]
    for odd in ({}, {"prompt": ""}, {"prompt": []}, {"prompt": [USER, HELLO]}, {"prompt": {}}, 4):
        with pytest.raises(ValueError, match="data: row 2: "):
            read_prompts([{"prompt": "a"}, odd], "prompt", "data", PLAIN)


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=4), max_size=5)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(WORDS, WORDS, WORDS, st.sampled_from([" ", "\n", " \t "]))
def test_no_text_is_lost_and_both_sides_keep_a_word(shared, chosen, rejected, space):
    sides = [space.join([*shared, *rest]) for rest in (chosen, rejected)]
    if not all(side.strip() for side in sides):
        return
    found = read_row({"chosen": sides[0], "rejected": sides[1]}, PLAIN)
    assert [f"{found.prompt}{side}" for side in (found.chosen, found.rejected)] == sides
    assert found.chosen.strip()
    assert found.rejected.strip()
    assert not found.prompt or found.prompt[-1].isspace()
    if not found.is_tie and len(found.chosen.split()) > 1 and len(found.rejected.split()) > 1:
        assert found.chosen.split()[0] != found.rejected.split()[0]  # all shared words are in the prompt
