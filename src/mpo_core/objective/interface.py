"""The interface that hand-written and learned objectives share."""

from abc import abstractmethod
from typing import Generic, TypeVar, final

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import coefficient as coefficient, fault_of_number, number_settings

Scalar = Float[ArrayLike, ""]
State = TypeVar("State")


class AbstractObjective(eqx.Module):
    """A preference-optimisation loss, to minimise.

    Sub-classes are final: hyper-parameters are array leaves, structure is static, and every one maps rows to rows
    without reducing them. An objective is the bare loss at every progress; an SFT phase before it is a setting of the
    inner loop. A number given for a `setting` is checked when the objective is made; traced ones pass.
    """

    def __check_init__(self):
        for name, one in number_settings(type(self)).items():
            value = getattr(self, name)
            fault = None if value is None else fault_of_number(value, one.domain)
            if fault:
                card = getattr(type(self), "card", None)
                raise ValueError(f"objective {(card.id if card else type(self).__name__)!r}: {name} {fault}")

    @abstractmethod
    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row.

        Args:
            pair: what the policy makes of a batch of rows.
            progress: share of all updates already made, in [0, 1).
        """


class AbstractStatefulObjective(AbstractObjective, Generic[State]):
    """An objective that remembers something of the updates before.

    The inner loop starts it at `initial_state` (after an SFT phase, where there is one) and calls `step` once an
    update. Sub-classes are final. Called like any other objective, as exports do, it is its bare loss: the state it
    starts from, no row dropped. No gradient flows through a state.
    """

    @property
    @abstractmethod
    def sees_groups(self) -> bool:
        """Whether it reads `PairLogProbs.group`, which the inner loop else leaves out."""

    @abstractmethod
    def initial_state(self) -> State:
        """What it knows before the first update: a pytree of arrays whose shapes never change."""

    @abstractmethod
    def losses(self, pair: PairLogProbs, progress: Scalar, state: State) -> Float[Array, " row"]:
        """The loss of each row, given a state and no row dropped. Arguments as for a call."""

    @abstractmethod
    def step(
        self, pair: PairLogProbs, progress: Scalar, state: State, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, " row"], State]:
        """One update.

        Args:
            pair: what the policy makes of a minibatch.
            progress: share of all updates already made, in [0, 1).
            state: as the update before left it.
            key: for objectives that draw.

        Returns:
            The loss of each row, whose mean is the loss of the minibatch, and the next state.
        """

    @final
    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row at the initial state."""
        return self.losses(pair, progress, self.initial_state())
