"""Which learner a policy and its rows make: the one place where the training of a new kind of policy is entered.

A kind of policy is entered by two functions, registered with `prepared_units` and `learner_of` for its class. How its
agents are kept in files is said in `adapters/storage/agent_files.py`.
"""

import functools

import jax
from jaxtyping import Array, Float, PyTree

from mpo_core.data.rows import PreferenceRows
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.settings import Products
from mpo_core.training.gaussian_learner import GaussianLearner
from mpo_core.training.language_learner import LanguageLearner, prepared_texts
from mpo_core.training.learner import Learner, UnitIndex
from mpo_core.training.prepared_rows import prepared_rows


@functools.singledispatch
def prepared_units(policy: AbstractPolicy, rows: PreferenceRows) -> PyTree:
    """Rows with a leading unit axis as updates of a policy read them, held once for all that train on them."""
    raise TypeError(f"policies of type {type(policy).__name__} cannot be trained: register them with prepared_units")


@functools.singledispatch
def learner_of(policy: AbstractPolicy, prepared: PyTree, unit: UnitIndex, products: Products) -> Learner:
    """A policy on one of the units that `prepared_units` made."""
    raise TypeError(f"policies of type {type(policy).__name__} cannot be trained: register them with learner_of")


prepared_units.register(GaussianPolicy, prepared_rows)
learner_of.register(GaussianPolicy, GaussianLearner)
prepared_units.register(LanguagePolicy, prepared_texts)
learner_of.register(LanguagePolicy, LanguageLearner)


def row_log_probs(
    policy: AbstractPolicy, rows: PreferenceRows, products: Products | None = None
) -> Float[Array, "row side"]:
    """Sum of token log-probs of every trajectory, without gradient.

    Args:
        products: how products are computed; None: as by default.
    """
    one = prepared_units(policy, jax.tree.map(lambda leaf: leaf[None], rows))
    learner = learner_of(policy, one, 0, products or Products())
    return learner.all_log_probs(learner.start)
