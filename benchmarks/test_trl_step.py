"""A training step of our trainer beside one of TRL's own DPO trainer: same model, batch and way to the log-probs.

Run: python -m pytest benchmarks/test_trl_step.py -s  (needs the extras llm and dev; two minutes)

A vocabulary of 32,768, steps in turn, median ratio of 300 pairs of steps. On the CPU one thread is used and its own
time is counted; even so, a busy machine (two threads to a core) spreads the ratio: two trainers of TRL's own then
differ by several per cent in fifty pairs. On a GPU it is the time until the device is done.
"""

import functools
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")

import torch
from trl.trainer.dpo_trainer import DPOTrainer

from benchmarks.sizes import TINY
from mpo_experiments.align.trainer import ObjectiveTrainer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from helpers.toy_language import toy_arguments, toy_model, toy_pairs, toy_tokenizer

STEPS, VOCABULARY = (4, 64) if TINY else (300, 32_768)
WIDTH, PAIRS, WORDS = 64, 2, 24
MOST = 1.02
"""A step of ours may cost so many of TRL's."""


def seconds(trainer, batch):
    """Of forward and backward pass, and of what is logged."""
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else time.process_time
    began = clock()
    trainer.training_step(trainer.model, dict(batch))
    if on_gpu:
        torch.cuda.synchronize()
    trainer.model.zero_grad()
    return clock() - began


def trainers(folder):
    """TRL's, and ours with the same loss."""
    words = {"chosen": "w1", "rejected": "w2"}
    pairs = toy_pairs(PAIRS).map(lambda row: {name: " ".join([word] * WORDS) for name, word in words.items()})
    arguments = {"per_device_train_batch_size": PAIRS, "use_cpu": not torch.cuda.is_available()}
    made = []
    for kind in (DPOTrainer, functools.partial(ObjectiveTrainer, objective="dpo")):
        model, reference = (toy_model(seed, VOCABULARY, WIDTH) for seed in (0, 1))
        trainer = kind(
            model,
            reference,
            toy_arguments(folder, **arguments),
            train_dataset=pairs,
            processing_class=toy_tokenizer(),
        )
        model.to(trainer.accelerator.device)
        trainer.current_gradient_accumulation_steps = 1
        made.append((trainer, next(iter(trainer.get_train_dataloader()))))
    return made


def test_a_step_costs_what_trls_costs(tmp_path, capsys):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pair = trainers(tmp_path)
    for trainer, batch in pair * 3:  # warm up
        seconds(trainer, batch)
    times = np.array([_both(pair, first=turn % 2) for turn in range(STEPS)])
    torch.set_num_threads(before)
    theirs, ours = np.median(times, axis=0)
    low, ratio, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
    with capsys.disabled():
        print(f"\na step of ours {ours * 1e3:.1f} ms, of TRL's {theirs * 1e3:.1f} ms")
        print(f"median ratio of {STEPS} pairs of steps {ratio:.4f} (quartiles {low:.3f} to {high:.3f})")
    assert ratio <= MOST or TINY


def _both(pair, first):
    """Seconds of TRL's step and of ours, one right after the other."""
    found = [0.0, 0.0]
    for which in (first, 1 - first):
        found[which] = seconds(*pair[which])
    return found
