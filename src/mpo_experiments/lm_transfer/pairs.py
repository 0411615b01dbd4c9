"""Preference pairs of reviews with the suite's faults: the same kinds of pairs, judge and label noise."""

import jax.numpy as jnp
import numpy as np

from mpo_core.data.judge import judge
from mpo_core.data.pair_bank import pair_sources
from mpo_core.data.specification import DataSpec
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_experiments.lm_transfer.models import sample
from mpo_experiments.lm_transfer.world import World, torch_seed
from mpo_experiments.reviews.grammar import PROMPTS, reward


def preference_rows(
    world: World, spec: DataSpec, rows: int, *, seed: int, stream: Stream, unit: int
) -> list[dict[str, str]]:
    """Rows `prompt`, `chosen`, `rejected`: two reviews for one prompt, by the models that the specification asks for.

    The judge sees the true reward; temperature and label noise are those of the specification.
    """
    generator = np.random.default_rng(torch_seed(seed, stream, unit, Purpose.START_STATES))
    prompts = generator.permutation(np.resize(np.array(PROMPTS), rows)).tolist()
    source = np.array(pair_sources(spec, rows))
    texts = np.empty(source.shape, object)
    for role, model in enumerate((world.original, world.target)):
        row, side = np.nonzero(source == role)
        if len(row):
            asked, draw = [prompts[place] for place in row], torch_seed(seed, stream, unit, Purpose.ACTIONS, role)
            texts[row, side] = sample(model, world.tokenizer, asked, seed=draw)
    worth = [[reward(prompt, text) for text in pair] for prompt, pair in zip(prompts, texts, strict=True)]
    key = stream_key(seed, stream, unit, Purpose.LABELS)
    verdict = judge(jnp.array(worth), temperature=spec.temperature, noise=spec.noise, key=key)
    second = np.asarray(verdict.second_wins).astype(int)
    return [
        {"prompt": prompt, "chosen": f" {pair[wins]}", "rejected": f" {pair[1 - wins]}"}
        for prompt, pair, wins in zip(prompts, texts, second, strict=True)
    ]
