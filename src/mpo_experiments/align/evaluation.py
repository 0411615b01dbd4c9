"""How good an aligned model is: preferences on held-out pairs, answers to prompts, and what a judge says of them."""

import dataclasses
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from adapters.storage.files import parse_json, read_text
from adapters.torch.language_models import base_of, load_model
from adapters.torch.preference_text import is_talk, plain
from mpo_core.evaluation.statistics import Interval, mean_interval
from mpo_core.failures import WorkFailed
from mpo_experiments.align.settings import AlignSettings
from mpo_experiments.align.trainer import ObjectiveTrainer
from mpo_experiments.align.training import training_arguments
from mpo_experiments.progress import Reporter


@dataclasses.dataclass(frozen=True)
class PairScores:
    """Log-probs of held-out responses, in nats, summed over their tokens."""

    chosen: Float[np.ndarray, " row"]
    rejected: Float[np.ndarray, " row"]
    chosen_length: Float[np.ndarray, " row"]
    rejected_length: Float[np.ndarray, " row"]


@dataclasses.dataclass(frozen=True)
class Preference:
    """How a model ranks pairs: the share in which the chosen response scores higher, ties counted half, and by how much
    (nats)."""

    by: str
    accuracy: Interval
    margin: Interval


def score_pairs(model: Any, settings: AlignSettings, tokenizer: Any, pairs: Any, reporter: Reporter) -> PairScores:
    """Scores pairs under a model, tokenised and cut as in training; pairs whose prompt fills it all are left out."""
    found: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(settings, Path(folder), disable_dropout=True)
        trainer = ObjectiveTrainer(  # of an objective without reference: the model alone is wanted
            model, args=arguments, objective="sft", train_dataset=pairs, processing_class=tokenizer
        )
        loader = trainer.get_eval_dataloader(trainer.train_dataset)  # pyright: ignore[reportArgumentType]
        model.to(trainer.accelerator.device).eval()
        reporter.stage("scoring pairs", len(trainer.train_dataset), "pair")  # pyright: ignore[reportArgumentType]
        for batch in loader:
            lengths = batch["completion_mask"][..., 1:].sum(dim=1).clamp(min=1).chunk(2)
            sums = trainer.compute_ref_log_probs(model, batch)
            found.append([one.float().cpu() for one in (*sums, *lengths)])
            reporter.advance(len(lengths[0]))
    return PairScores(*(torch.cat(one).double().numpy() for one in zip(*found, strict=True)))


def preferences(policy: PairScores, reference: PairScores | None) -> list[Preference]:
    """Accuracy and margin of summed and of mean log-probs, and of log-ratios to a reference."""
    views = {
        "summed log-probs": (policy.chosen, policy.rejected),
        "mean token log-probs": (policy.chosen / policy.chosen_length, policy.rejected / policy.rejected_length),
    }
    if reference is not None:
        views["log-ratios to the reference"] = (policy.chosen - reference.chosen, policy.rejected - reference.rejected)
    return [
        Preference(by, mean_interval((1 + np.sign(chosen - rejected)) / 2), mean_interval(chosen - rejected))
        for by, (chosen, rejected) in views.items()
    ]


def load_plain(source: str) -> Any:
    """A model with its adapter, if it has one, merged into it."""
    model = load_model(source, low_precision=True)
    return model.merge_and_unload() if base_of(source) != source else model


@dataclasses.dataclass(frozen=True)
class Generation:
    """How answers are drawn."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0: the likeliest token every time."""
    batch: int = 8
    seed: int = 0


def generate(model: Any, tokenizer: Any, prompts: list[Any], how: Generation, reporter: Reporter) -> list[str]:
    """An answer to each prompt, without special tokens."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()
    torch.manual_seed(how.seed)
    chosen = {"do_sample": True, "temperature": how.temperature} if how.temperature > 0 else {"do_sample": False}
    answers: list[str] = []
    reporter.stage("answering", len(prompts), "prompt")
    for start in range(0, len(prompts), how.batch):
        texts = [_asked(tokenizer, prompt) for prompt in prompts[start : start + how.batch]]
        given = tokenizer(
            texts,
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=not is_talk(prompts[start]),  # a chat template has its own
            return_token_type_ids=False,
        ).to(device)
        with torch.no_grad():
            tokens = model.generate(
                **given, max_new_tokens=how.max_new_tokens, pad_token_id=tokenizer.pad_token_id, **chosen
            )
        new = tokens[:, given["input_ids"].shape[1] :]
        answers += [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]
        reporter.advance(len(texts))
    return answers


def _asked(tokenizer: Any, prompt: Any) -> str:
    if not is_talk(prompt):
        return prompt
    return tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)


def alpaca_outputs(prompts: list[Any], answers: list[str], generator: str) -> list[dict[str, str]]:
    """Answers as `alpaca_eval --model_outputs` reads them."""
    return [
        {"instruction": plain(prompt), "output": answer, "generator": generator}
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def read_outputs(path: Path, prompts: list[Any]) -> list[str]:
    """Another model's answers to the same prompts, from a file as `alpaca_outputs` has it.

    Raises:
        ValueError: one sentence: it cannot be read, or has no answer to one of the prompts.
    """
    try:
        rows = parse_json(read_text(path, "outputs"))
        known = {row["instruction"]: row["output"] for row in rows}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        said = str(error) if isinstance(error, ValueError) and str(path) in str(error) else f"outputs {path}: is not"
        raise ValueError(f"{said} a JSON list of objects with 'instruction' and 'output'") from None
    missing = [prompt for prompt in map(plain, prompts) if prompt not in known]
    if missing:
        raise ValueError(f"outputs {path}: has no answer to {missing[0][:60]!r} ({len(missing)} prompts without one)")
    return [known[plain(prompt)] for prompt in prompts]


def win_rate(command: str, prompts: list[Any], ours: list[str], theirs: list[str], seed: int) -> Interval:
    """The share of prompts where a judge prefers ours; which answer it sees first is drawn for each.

    Args:
        command: a shell command that reads lines of JSON with `prompt`, `output_1`, `output_2` and writes 1 or 2, a
            line for each.

    Raises:
        WorkFailed: it failed, or wrote something else.
    """
    swapped = np.random.default_rng(seed).random(len(prompts)) < 0.5
    lines = [
        json.dumps(
            {"prompt": plain(prompt), "output_1": second if swap else first, "output_2": first if swap else second}
        )
        for prompt, first, second, swap in zip(prompts, ours, theirs, swapped, strict=True)
    ]
    done = subprocess.run(
        command, shell=True, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[-200:]
        raise WorkFailed(f"the judge {command!r} ended with exit code {done.returncode} ({said or 'it said nothing'})")
    verdicts = done.stdout.split()
    if len(verdicts) != len(lines) or not set(verdicts) <= {"1", "2"}:
        odd = next((one for one in verdicts if one not in ("1", "2")), None)
        what = f"{len(verdicts)} verdicts for {len(lines)} pairs" if odd is None else f"{odd[:40]!r} as a verdict"
        raise WorkFailed(f"the judge {command!r} wrote {what}: it must write 1 or 2 for each line that it reads")
    first = np.array([verdict == "1" for verdict in verdicts])
    return mean_interval((first != swapped).astype(float))
