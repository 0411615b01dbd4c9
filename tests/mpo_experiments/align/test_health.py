"""`PreferenceHealth` warns in a run made to collapse before the score has lost half, and is silent in a healthy one."""

import json
import math
import random

import pytest

pytest.importorskip("trl", reason="the extra llm")

import numpy as np
import torch
from datasets import Dataset
from transformers import TrainerCallback

from helpers.toy_language import BAD, GOOD, WORDS, toy_arguments, toy_model, toy_tokenizer
from mpo_experiments.align.health import HealthSettings, PreferenceHealth
from mpo_experiments.align.trainer import ObjectiveTrainer

WANTED, OTHER = GOOD[:10], GOOD[10:]


def good_pairs(rows=256, seed=5):
    """Pairs whose responses are both good, chosen ones of wanted words: a model may lose both."""
    draw = random.Random(seed)

    def text(words):
        return " ".join(draw.choices(words, k=draw.randint(3, 6)))

    return Dataset.from_list(
        [{"prompt": f"{text(WORDS)} ", "chosen": text(WANTED), "rejected": text(OTHER)} for _ in range(rows)]
    )


def cut_off_pairs(rows=256, seed=5):
    """Pairs whose chosen responses are longer than training reads, and so have no end; rejected ones have."""
    draw = random.Random(seed)
    sides = {"prompt": (WORDS, 4), "chosen": (WANTED, 40), "rejected": (OTHER, 4)}
    return Dataset.from_list(
        [{side: " ".join(draw.choices(words, k=count)) for side, (words, count) in sides.items()} for _ in range(rows)]
    )


def score(model):
    """How likely a token of a good answer is, to prompts that training does not have: geometric mean."""
    return math.exp(np.mean([log_prob(model, row).mean() for row in good_pairs(64, seed=11)]))


def log_prob(model, row):
    """Of each token of the chosen response and its end."""
    tokenizer = toy_tokenizer()
    prompt = tokenizer(row["prompt"])["input_ids"]
    ids = torch.tensor([prompt + tokenizer(row["chosen"])["input_ids"] + [tokenizer.eos_token_id]])
    with torch.no_grad():
        log_probs = model.eval()(input_ids=ids).logits[0, :-1].log_softmax(-1)
    return log_probs.gather(-1, ids[0, 1:, None])[len(prompt) - 1 :, 0].numpy()


def chosen_log_prob(model):
    """Sums over responses, mean over the first 16 pairs."""
    return float(np.mean([log_prob(model, row).sum() for row in good_pairs().select(range(16))]))


class Scores(TrainerCallback):
    """The score at every log."""

    def __init__(self):
        self.found = []

    def on_log(self, args, state, control, logs=None, model=None, **more):
        if "logps/chosen" in logs:
            self.found.append((state.global_step, score(model)))


@pytest.fixture(scope="module")
def taught():
    """A toy model that answers with good words, and now and then with a bad one."""
    model, tokenizer, draw = toy_model(), toy_tokenizer(), random.Random(3)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        answers = [draw.choices([*GOOD * 9, *BAD], k=draw.randint(3, 6)) for _ in range(32)]
        texts = [" ".join([*draw.choices(WORDS, k=5), *answer, "</s>"]) for answer in answers]
        batch = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        labels[:, :5] = -100
        optimiser.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimiser.step()
    return model.state_dict()


def trained(taught, folder, objective, steps, rate=2e-3, pairs=good_pairs, arguments=None, **more):
    model, reference = toy_model(), toy_model()
    for one in (model, reference):
        one.load_state_dict(taught)
    health, scores, before = PreferenceHealth(warn=lambda text: None, **more), Scores(), score(model)
    settings = {"max_steps": steps, "learning_rate": rate, "per_device_train_batch_size": 16} | (arguments or {})
    trainer = ObjectiveTrainer(
        model, reference, args=toy_arguments(folder, **settings), objective=objective, train_dataset=pairs(),
        processing_class=toy_tokenizer(), callbacks=[health, scores],
    )  # fmt: skip
    trainer.train()
    return health, [(0, before), *scores.found], trainer


def test_it_warns_before_the_score_has_lost_half(taught, tmp_path):
    health, scores, _ = trained(taught, tmp_path, "apo_down:beta=0.1", 60, rate=5e-3)
    half_lost = next(step for step, value in scores if value < scores[0][1] / 2)  # it does collapse
    step, text = health.warnings[0]
    assert step < half_lost
    assert "the chosen responses have lost" in text


@pytest.mark.parametrize("objective", ["orpo", "dpo:beta=0.3"])
def test_it_is_silent_in_a_healthy_run(taught, tmp_path, objective):
    health, scores, trainer = trained(taught, tmp_path, objective, 40, prompts=["w1 w2 w3", "w30 w4"])
    assert health.warnings == []
    assert scores[-1][1] > scores[0][1]
    lines = [line for line in trainer.state.log_history if "logps/chosen" in line]
    before = toy_model()
    before.load_state_dict(taught)
    moved = chosen_log_prob(trainer.model) - chosen_log_prob(before)
    assert lines[-1]["health/chosen"] == pytest.approx(moved, abs=1e-3)
    assert lines[-1]["health/chosen"] > lines[-1]["health/rejected"]
    assert lines[-1]["health/entropy"] == pytest.approx(lines[-1]["entropy"] / lines[0]["entropy"])
    assert lines[-1]["health/answer_length"] <= 64


def test_answers_that_no_longer_end_are_told(taught, tmp_path):
    """Chosen responses are cut off, so the end of text is seen in rejected ones alone, and is pushed down with them."""
    prompts = ["w1 w2 w3", "w30 w4 w9", "w25"]
    health, _, _ = trained(
        taught, tmp_path, "dpo:beta=0.1", 16, 1e-2, cut_off_pairs, {"max_length": 30}, prompts=prompts
    )
    assert [text[-len("to 64 tokens") :] for _, text in health.warnings] == ["to 64 tokens"]  # as many as are drawn


class State:
    global_step, log_history = 0, []


def lines_to_warnings(lines, **settings):
    health, state = PreferenceHealth(HealthSettings(**settings), warn=lambda text: None), State()
    for step, line in enumerate(lines):
        state.global_step = step
        health.on_log(None, state, None, logs=dict(line))
    return [step for step, _ in health.warnings]


def line(chosen, rejected, accuracy, entropy=2.0):
    names = ("logps/chosen", "logps/rejected", "rewards/accuracies", "entropy")
    return dict(zip(names, (chosen, rejected, accuracy, entropy), strict=True))


FALL = [line(-100, -100, 0.5), line(-110, -115, 0.6), line(-120, -130, 0.7), line(-130, -150, 0.8)]


@pytest.mark.parametrize(
    ("lines", "warned"),
    [
        (FALL, [2]),
        ([*FALL, *FALL[1:]], [2]),  # once
        ([FALL[0], FALL[1], FALL[0], FALL[1], FALL[0]], []),  # it does not last
        ([line(-100, -100, 0.5), *[line(-104, -150, 0.9)] * 3], []),  # a dip beside a large margin
        ([line(-100, -100, 0.5), *[line(-130, -128, 0.4)] * 3], []),  # accuracy falls: seen without us
        ([line(-100, -100, 0.5), *[line(-90, -120, 0.9, entropy=0.1)] * 3], [2]),
        ([{"loss": 1.0}, {"eval_logps/chosen": -3.0}], []),
    ],
)
def test_when_it_warns(lines, warned):
    assert lines_to_warnings(lines) == warned


def test_values_are_plain_numbers(taught, tmp_path):
    _, _, trainer = trained(taught, tmp_path, "orpo", 2)
    assert "health/chosen" in json.dumps(trainer.state.log_history)


def test_training_stays_the_same_to_the_bit(taught, tmp_path):
    watched = trained(taught, tmp_path, "orpo", 3, prompts=["w1"])[2]
    unwatched = trained(taught, tmp_path, "orpo", 3, rows=0)[2]
    for one, other in zip(watched.model.parameters(), unwatched.model.parameters(), strict=True):
        assert torch.equal(one, other)
