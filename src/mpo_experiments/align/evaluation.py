"""How good an aligned model is: preferences on held-out pairs, and its answers to prompts."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from adapters.storage.files import parse_json, read_text
from adapters.torch.language_models import base_of, load_model
from adapters.torch.trl_run import summed_log_probs
from mpo_core.evaluation.statistics import Interval, mean_interval, share_interval
from mpo_core.failures import WorkFailed
from mpo_experiments.align.arguments import training_arguments
from mpo_experiments.align.pairs import Pairs
from mpo_experiments.align.preference_rows import plain, shown_rows
from mpo_experiments.align.settings import AlignSettings
from mpo_experiments.align.token_rows import Encoder
from mpo_experiments.align.trainer import ObjectiveTrainer
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


def score_pairs(model: Any, settings: AlignSettings, tokenizer: Any, pairs: Pairs, reporter: Reporter) -> PairScores:
    """Scores pairs under a model, tokenised and cut as in training.

    Raises:
        WorkFailed: log-probs that are not finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(settings, Path(folder), disable_dropout=True)
        trainer = ObjectiveTrainer(  # of an objective without reference: the model alone is wanted
            model, args=arguments, objective="sft", train_dataset=pairs.data, processing_class=tokenizer
        )
        reporter.stage("scoring pairs", len(pairs), "pair")
        scores = PairScores(*summed_log_probs(trainer, model, reporter.advance))
    odd = ~(np.isfinite(scores.chosen) & np.isfinite(scores.rejected))
    if odd.any():
        numbers = shown_rows([row for row, one in zip(pairs.data["row_number"], odd, strict=True) if one])
        raise WorkFailed(f"log-probs under the model are not finite in rows {numbers} of {pairs.where}")
    return scores


def preferences(policy: PairScores, reference: PairScores | None) -> list[Preference]:
    """Accuracy and margin of summed and of mean log-probs, and of log-ratios to a reference."""
    views = {
        "summed log-probs": (policy.chosen, policy.rejected),
        "mean token log-probs": (policy.chosen / policy.chosen_length, policy.rejected / policy.rejected_length),
    }
    if reference is not None:
        views["log-ratios to the reference"] = (policy.chosen - reference.chosen, policy.rejected - reference.rejected)
    return [
        Preference(by, share_interval((1 + np.sign(chosen - rejected)) / 2), mean_interval(chosen - rejected))
        for by, (chosen, rejected) in views.items()
    ]


def load_plain(source: str) -> Any:
    """A model with its adapter, if it has one, merged into it."""
    model = load_model(source, low_precision=True)
    return model.merge_and_unload() if base_of(source) != source else model


def prompt_tokens(prompts: list[Any], encoder: Encoder, tools: list[Any] | None = None) -> list[list[int]]:
    """The tokens that each answer follows.

    Args:
        tools: what the chat template is told of tools, a prompt; None: of none.

    Raises:
        ValueError: one sentence: a prompt that a template cannot take, or that has no tokens.
    """
    found = []
    for number, prompt in enumerate(prompts, 1):
        try:
            known = tools[number - 1] if tools else None
            tokens = encoder.text(prompt) if isinstance(prompt, str) else encoder.messages(prompt, known, opens=True)
        except ValueError as error:
            raise ValueError(f"prompt {number}: {error}") from None
        while len(tokens) > 1 and tokens[-1] == encoder.eos and isinstance(prompt, str):
            tokens = tokens[:-1]  # of a tokenizer that ends every text: an answer would come after the end
        if not tokens:
            raise ValueError(f"prompt {number} is empty: there is nothing to answer")
        found.append(tokens)
    return found


def alpaca_outputs(prompts: list[Any], answers: list[str], generator: str) -> list[dict[str, str]]:
    """Answers as `alpaca_eval --model_outputs` reads them."""
    return [
        {"instruction": plain(prompt), "output": answer, "generator": generator}
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def read_outputs(path: Path, prompts: list[Any]) -> list[str]:
    """Another model's answers to the same prompts, from a file as `alpaca_outputs` has it.

    A prompt that is asked several times gets its answers in their order, the last one of them again and again.

    Raises:
        ValueError: one sentence: it cannot be read, or has no answer to one of the prompts.
    """
    try:
        rows = parse_json(read_text(path, "outputs"))
        known: dict[str, list[str]] = {}
        for prompt, text in ((row["instruction"], row["output"]) for row in rows):
            if not (isinstance(prompt, str) and isinstance(text, str)):
                raise TypeError
            known.setdefault(prompt, []).append(text)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        said = str(error) if isinstance(error, ValueError) and str(path) in str(error) else f"outputs {path}: is not"
        raise ValueError(f"{said} a JSON list of objects with 'instruction' and 'output'") from None
    missing = [prompt for prompt in map(plain, prompts) if prompt not in known]
    if missing:
        raise ValueError(f"outputs {path}: has no answer to {missing[0][:60]!r} ({len(missing)} prompts without one)")
    left = [known[plain(prompt)] for prompt in prompts]
    return [texts.pop(0) if len(texts) > 1 else texts[0] for texts in left]
