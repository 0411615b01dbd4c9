"""`PreferenceHealth` warns in a run made to collapse before the score has lost half, and is silent in a healthy one."""

import json
import random

import pytest

pytest.importorskip("trl", reason="the extra llm")

import torch
from transformers import TrainerCallback

from helpers.toy_language import BAD, GOOD, SPECIAL, WORDS, toy_arguments, toy_model, toy_pairs, toy_tokenizer
from mpo_experiments.align.health import HealthSettings, PreferenceHealth
from mpo_experiments.align.trainer import ObjectiveTrainer

GOOD_TOKENS = [len(SPECIAL) + WORDS.index(word) for word in GOOD]


def score(model):
    """The probability that an answer begins with a good word, mean over prompts."""
    tokenizer, draw = toy_tokenizer(), random.Random(11)
    prompts = [" ".join(draw.choices(WORDS, k=5)) for _ in range(32)]
    given = tokenizer(prompts, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        return float(model(**given).logits[:, -1].softmax(-1)[:, GOOD_TOKENS].sum(-1).mean())


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
    for _ in range(80):
        words = [draw.choices(WORDS, k=5) + draw.choices([*GOOD * 4, *BAD], k=5) for _ in range(32)]
        batch = tokenizer([" ".join(one) for one in words], return_tensors="pt", return_token_type_ids=False)
        labels = batch["input_ids"].clone()
        labels[:, :5] = -100
        optimiser.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimiser.step()
    return model.state_dict()


def trained(taught, folder, objective, steps, **more):
    model, health, scores = toy_model(), PreferenceHealth(warn=lambda text: None, **more), Scores()
    model.load_state_dict(taught)
    before = score(model)
    settings = {"max_steps": steps, "learning_rate": 2e-3, "per_device_train_batch_size": 16}
    trainer = ObjectiveTrainer(
        model, args=toy_arguments(folder, **settings), objective=objective, train_dataset=toy_pairs(256),
        processing_class=toy_tokenizer(), callbacks=[health, scores],
    )  # fmt: skip
    trainer.train()
    return health, [(0, before), *scores.found], trainer.state.log_history


def test_it_warns_before_the_score_has_lost_half(taught, tmp_path):
    health, scores, _ = trained(taught, tmp_path, "apo_down:beta=1", 60)
    half_lost = next(step for step, value in scores if value < scores[0][1] / 2)  # it does collapse
    step, text = health.warnings[0]
    assert step < half_lost
    assert "the chosen responses have lost" in text


@pytest.mark.parametrize("objective", ["orpo", "dpo:beta=0.3"])
def test_it_is_silent_in_a_healthy_run(taught, tmp_path, objective):
    health, scores, history = trained(taught, tmp_path, objective, 40, prompts=["w1 w2 w3", "w30 w4"])
    assert health.warnings == []
    assert scores[-1][1] > scores[0][1]
    lines = [line for line in history if "logps/chosen" in line]
    assert lines[0]["health/chosen"] == 0
    assert lines[-1]["health/chosen"] == pytest.approx(lines[-1]["logps/chosen"] - lines[0]["logps/chosen"])
    assert lines[-1]["health/entropy"] == pytest.approx(lines[-1]["entropy"] / lines[0]["entropy"])
    assert lines[-1]["health/answer_length"] <= 64


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
        ([line(-100, -100, 0.5), *[line(-104, -140, 0.9)] * 3], []),  # a dip beside a large margin
        ([line(-100, -100, 0.5), *[line(-130, -128, 0.4)] * 3], []),  # accuracy falls: seen without us
        ([line(-100, -100, 0.5), *[line(-90, -120, 0.9, entropy=0.1)] * 3], [2]),
        ([{"loss": 1.0}, {"eval_logps/chosen": -3.0}], []),
    ],
)
def test_when_it_warns(lines, warned):
    assert lines_to_warnings(lines) == warned


def test_values_are_plain_numbers(taught, tmp_path):
    _, _, history = trained(taught, tmp_path, "orpo", 2)
    assert "health/chosen" in json.dumps(history)
