"""`judge:T`: a Bradley-Terry judge on true returns."""

import dataclasses
from typing import ClassVar

from mpo_core.data.fault import NumberFault, Stage
from mpo_core.data.fault_types import LabelledPairs, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class Judge(NumberFault):
    """P(second wins) = sigmoid((R_2 - R_1) / T); T = 0 always picks the better one (a tie is drawn by lot).

    Bradley and Terry, 1952. Without the term the judge is that of T = 0.
    """

    name: ClassVar[str] = "judge"
    form: ClassVar[str] = "judge:T"
    description: ClassVar[str] = (
        "Bradley-Terry judge of temperature T, in units of return (0 <= T <= 1e30; 0 always picks the better one)"
    )
    stage: ClassVar[Stage] = "judge"
    high: ClassVar[float] = 1e30
    what: ClassVar[str] = "a temperature"

    def apply(self, pairs: LabelledPairs, *, key: PRNGKeyArray) -> LabelledPairs:
        """Labels the pairs, whatever labels they had."""
        import jax
        import jax.numpy as jnp

        difference = pairs.return_[:, 1] - pairs.return_[:, 0]
        uniform = jax.random.uniform(key, difference.shape, minval=1e-7, maxval=1.0 - 1e-7)
        # a logistic draw: sigmoid(d / T) > uniform, without dividing by T
        threshold = jnp.log(uniform) - jnp.log1p(-uniform)
        return pairs.with_labels(jnp.where(difference == 0, uniform > 0.5, difference > self.value * threshold))
