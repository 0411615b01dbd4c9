"""Learned objectives with random parameters."""

import equinox as eqx
import jax

from mpo_core.mirror.learned import split_learned


def random_learned(objective, key, scale):
    learned, common = split_learned(objective)
    leaves, structure = jax.tree.flatten(learned)
    keys = jax.random.split(key, len(leaves))
    drawn = [scale * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, drawn), common)
