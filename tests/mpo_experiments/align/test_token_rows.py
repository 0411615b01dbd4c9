"""Pairs as tokens: as TRL makes them where that is right, one end of sequence, and the assistant's tokens alone."""

import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

from datasets import Dataset
from tokenizers.processors import TemplateProcessing
from trl.trainer.dpo_trainer import DPOTrainer

from adapters.torch.language_models import ZEPHYR, TokenEncoder
from helpers.toy_language import toy_arguments, toy_model, toy_rows, toy_tokenizer
from mpo_experiments.align.evaluation import prompt_tokens
from mpo_experiments.align.pairs import PairRule, read_pairs
from mpo_experiments.align.preference_rows import PreferenceRow, RowRule, read_row
from mpo_experiments.align.token_rows import TokenRule, token_row
from mpo_experiments.align.trainer import ObjectiveTrainer


def zephyr():
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = ZEPHYR
    return tokenizer


def ends_every_text():
    """A tokenizer that adds a begin and an end to whatever it is given."""
    tokenizer = toy_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tokenizer


def words(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(list(ids))


def said(role, text):
    return {"role": role, "content": text}


@pytest.mark.parametrize("talk", [False, True])
def test_tokens_are_trls(talk, tmp_path):
    data = Dataset.from_list(toy_rows(6, talk=talk))
    given = {"args": toy_arguments(tmp_path), "train_dataset": data, "processing_class": zephyr()}
    theirs = DPOTrainer(toy_model(), toy_model(1), **given).train_dataset
    ours = ObjectiveTrainer(toy_model(), toy_model(1), objective="dpo", **given).train_dataset
    for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
        assert list(ours[name]) == list(theirs[name])
    assert "chosen_scored" not in ours.column_names
    assert list(ours["row_number"]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("answer", ["w3 w4", "w3 w4 </s>", "w3 w4</s>", "w3 w4</s></s>"])
@pytest.mark.parametrize("make", [toy_tokenizer, ends_every_text])
def test_an_answer_ends_once(make, answer):
    tokenizer = make()
    row = token_row(PreferenceRow("w1 w2 ", answer, "w5"), TokenEncoder(tokenizer))
    assert words(tokenizer, row.prompt)[-2:] == ["w1", "w2"]
    assert words(tokenizer, row.chosen.tokens) == ["w3", "w4", "</s>"]
    assert words(tokenizer, row.rejected.tokens) == ["w5", "</s>"]


@pytest.mark.parametrize("make", [toy_tokenizer, ends_every_text])
def test_a_prompt_that_is_answered_has_no_end(make):
    tokenizer = make()
    tokens, talk = prompt_tokens(["w1 w2 ", "w3"], TokenEncoder(tokenizer)), zephyr()
    assert [words(tokenizer, one)[-1] for one in tokens] == ["w2", "w3"]
    opened = prompt_tokens([[said("user", "w1")]], TokenEncoder(talk))[0]
    assert words(talk, opened) == ["<unk>", "w1", "</s>", "<unk>"]  # the headers are words that it does not know
    with pytest.raises(ValueError, match="prompt 2 is empty"):
        prompt_tokens(["w1", " "], TokenEncoder(toy_tokenizer()))


TURNS = {
    "prompt": [said("user", "w1")],
    "chosen": [said("assistant", "w2 w3"), said("user", "w30"), said("assistant", "w4")],
    "rejected": [said("assistant", "w5")],
}


def test_the_assistants_turns_are_scored():
    tokenizer = zephyr()
    row = read_row(TURNS, RowRule())
    ours, all_ = (token_row(row, TokenEncoder(tokenizer), kind) for kind in ("assistant", "all"))
    scored = [one for one, keep in zip(ours.chosen.tokens, ours.chosen.scored, strict=True) if keep]
    assert words(tokenizer, scored) == ["w2", "w3", "</s>", "w4", "</s>"]  # no header, no word of the user's
    assert words(tokenizer, ours.rejected.tokens) == ["w5", "</s>"]
    assert ours.chosen.tokens == all_.chosen.tokens
    assert "w30" in words(tokenizer, ours.chosen.tokens)
    assert set(all_.chosen.scored) == set(ours.rejected.scored) == {1}


@pytest.mark.parametrize(("scored", "right"), [("assistant", [5, 2]), ("all", [9, 2])])
@pytest.mark.parametrize("keep", ["keep_start", "keep_end"])
def test_the_trainer_scores_them_alone(scored, right, keep, tmp_path):
    """In training, and in the reference's log-probs that are computed before it."""
    trainer = ObjectiveTrainer(
        toy_model(), toy_model(1), toy_arguments(tmp_path, precompute_ref_log_probs=True, truncation_mode=keep),
        objective="dpo", scored=scored, train_dataset=Dataset.from_list([TURNS] * 2), processing_class=zephyr(),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["completion_mask"].sum(dim=1).tolist() == [right[0]] * 2 + [right[1]] * 2
    reference = trainer.compute_ref_log_probs(trainer.ref_model, batch)
    assert reference[0].tolist() == pytest.approx(batch["ref_chosen_logps"].tolist(), rel=1e-5)


def counted(rows, max_length, **more):
    rule = PairRule(RowRule(), TokenRule(max_length), **more)
    return read_pairs(rows, "data", TokenEncoder(toy_tokenizer()), rule)


def pair(prompt, chosen, rejected):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


LONG = pair("w1 w2 w3 w4 w5 ", "w6", "w7")
SHORT = pair("w1 ", "w6", "w7")


def test_what_is_left_out_is_counted():
    later = pair("w1 ", "w2 w3 w4 w5", "w2 w3 w4 w6")
    unknown = pair("w1 ", "grey", "blue")  # two words that the tokenizer does not know
    rows = [SHORT, LONG, SHORT, pair("w1 ", "w2", "w2"), later, unknown, pair("w1 ", "w9 w2 w3 w4", "w6")]
    found = counted(rows, 4)
    assert (found.counts.rows, found.counts.used, found.counts.ties, found.counts.too_long) == (7, 3, 1, 1)
    assert (found.counts.same_tokens, found.counts.cut) == (2, 1)
    assert list(found.data["row_number"]) == [1, 3, 7]
    said = "\n".join(found.notes())
    assert "1 of 7 rows left out, for the prompt alone fills the length (rows 2)" in said
    assert "1 of 7 rows left out, for chosen and rejected are equal (rows 4)" in said
    assert "same tokens within the length (rows 5, 6)" in said


@pytest.mark.parametrize(("share", "refused"), [(0.2, False), (0.19, True), (0.0, True), (1.0, False)])
def test_too_many_are_a_refusal(share, refused):
    rows = [SHORT] * 4 + [LONG]
    if not refused:
        assert len(counted(rows, 5, most_left_out=share)) == 4
        return
    with pytest.raises(ValueError, match=r"of 5 pairs 1 cannot be used.*max_left_out.*fills max_length \(5 tokens\)"):
        counted(rows, 5, most_left_out=share)


def test_none_that_is_left_is_always_a_refusal():
    with pytest.raises(ValueError, match="of 2 pairs 2 cannot be used: in 2 the prompt alone fills max_length"):
        counted([LONG, LONG], 5)


def test_rows_that_a_template_cannot_take_are_named():
    tokenizer = zephyr()
    tokenizer.chat_template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}w1"
    rows = [{"prompt": [said("system", "x"), said("user", "y")], "chosen": [said("assistant", "a")],
             "rejected": [said("assistant", "b")]}]  # fmt: skip
    with pytest.raises(ValueError, match=r"data: row 1: the chat template cannot take its messages \(no system\)"):
        read_pairs(rows, "data", TokenEncoder(tokenizer), PairRule(RowRule(), TokenRule()))
