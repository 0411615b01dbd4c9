"""Preference pairs of texts with the suite's faults: the same kinds of pairs, judge and label noise."""

import jax.numpy as jnp
import numpy as np

from adapters.torch.small_models import write
from mpo_core.data.labels import label
from mpo_core.data.specification import DataSpec, kinds_of_rows
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_experiments.lm_transfer.settings import check_models
from mpo_experiments.lm_transfer.world import World, torch_seed


def preference_rows(
    world: World, spec: DataSpec, rows: int, *, seed: int, stream: Stream, unit: int
) -> dict[str, list[list[int]]]:
    """Columns `prompt_ids`, `chosen_ids`, `rejected_ids`: two texts for one prompt, by the models that are asked for.

    Tokens are those that the models drew, their end among them. The judge and the label faults of the specification
    see the true reward; a text's length is its tokens.
    """
    check_models([spec])
    generator = np.random.default_rng(torch_seed(seed, stream, unit, Purpose.START_STATES))
    prompts = generator.permutation(np.resize(generator.permutation(world.prompts), rows)).tolist()
    source = np.array(kinds_of_rows(spec, rows), np.int32)
    texts, worth = np.empty(source.shape, object), np.zeros(source.shape)
    for role, model in enumerate((world.original, world.target)):
        row, side = np.nonzero(source == role)
        if len(row):
            asked, draw = [prompts[place] for place in row], torch_seed(seed, stream, unit, Purpose.ACTIONS, role)
            written = write(model, world.tokenizer, asked, world.longest, seed=draw)
            worth[row, side] = world.reward.worth(asked, written).reward
            for place, text in zip(zip(row, side, strict=True), written, strict=True):
                texts[place] = text
    key = stream_key(seed, stream, unit, Purpose.LABELS)
    lengths = np.array([[len(text) for text in pair] for pair in texts], np.float32)
    verdict = label(spec, jnp.asarray(worth, jnp.float32), lengths, source, key=key)
    second = np.asarray(verdict.second_wins).astype(int)
    places = np.arange(rows)
    return {
        "prompt_ids": list(world.tokenizer(prompts)["input_ids"]),  # pyright: ignore[reportArgumentType]
        "chosen_ids": list(texts[places, second]),
        "rejected_ids": list(texts[places, 1 - second]),
    }
