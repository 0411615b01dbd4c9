"""Distilled objectives as JSON: a list of terms for each map, chosen from a fixed set; nothing in it is evaluated."""

from typing import Any, Literal

import numpy as np
import pydantic

from mpo_core.mirror.closed_form import FEATURES, KNOTS_OF_LOGS, LOG_PROB_ONLY, TIME_SHAPES, SumOfTerms, Term
from mpo_core.mirror.distillation import MAP_NAMES
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.names import unknown_name
from mpo_core.settings import positive

SCHEMA_VERSION = 2
"""Version 1 are cards of learned objectives."""
MOST_TERMS = 64


class TermCard(pydantic.BaseModel):
    """weight * r(t) * f(slope * x + offset)."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    weight: float
    feature: str
    """f: one of `closed_form.FEATURES`."""
    slope: float = 1.0
    offset: pydantic.FiniteFloat = 0.0
    time: str = "constant"
    """r: one of `closed_form.TIME_SHAPES`."""
    knots: list[pydantic.FiniteFloat] = []
    """Progress at which r begins and ends, in order; of `growth`, logarithms."""

    @pydantic.model_validator(mode="after")
    def _is_increasing(self) -> "TermCard":
        for what, name, known in (("feature", self.feature, FEATURES), ("time", self.time, TIME_SHAPES)):
            if name not in known:
                raise unknown_name(what, name, known)
        if not (positive(self.weight) and positive(self.slope)):
            raise ValueError(f"weight and slope must be positive and finite, not {self.weight:g} and {self.slope:g}")
        if self.feature in LOG_PROB_ONLY and self.offset > 0:
            raise ValueError(f"the feature {self.feature!r} takes no positive offset")
        ordered = self.time in KNOTS_OF_LOGS or sorted(self.knots) == self.knots
        if len(self.knots) != TIME_SHAPES[self.time][1] or not ordered:
            raise ValueError(f"time {self.time!r} has {TIME_SHAPES[self.time][1]} knots in order, not {self.knots}")
        return self


class Maps(pydantic.BaseModel):
    """The three functions, each a sum of terms; an empty one is 0."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    phi_inv: list[TermCard] = pydantic.Field(max_length=MOST_TERMS)
    psi: list[TermCard] = pydantic.Field(max_length=MOST_TERMS)
    g: list[TermCard] = pydantic.Field(max_length=MOST_TERMS)

    @pydantic.field_validator("psi")
    @classmethod
    def _bracket_is_no_log_prob(cls, terms: list[TermCard]) -> list[TermCard]:
        wrong = [term.feature for term in terms if term.feature in LOG_PROB_ONLY]
        if wrong:
            raise ValueError(f"the bracket takes any value, so the feature {wrong[0]!r} is none of psi's")
        return terms


class ClosedCard(pydantic.BaseModel):
    """objective.json of a distilled objective, without its own hash."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    format: Literal["mpo-objective"]
    schema_version: Literal[2]
    kind: Literal["closed"]
    bracket: Literal["sum", "mean"]
    imitation: Literal["sum", "mean"]
    reference: bool
    temporal: bool
    """Whether a term changes over training."""
    maps: Maps
    provenance: dict[str, Any]


def closed_card(objective: MirrorObjective, provenance: dict[str, Any]) -> ClosedCard:
    """The card of a member whose maps are sums of terms."""
    maps = Maps(**{name: _terms(getattr(objective, name)) for name in MAP_NAMES})
    return ClosedCard(
        format="mpo-objective",
        schema_version=SCHEMA_VERSION,
        kind="closed",
        bracket=objective.bracket,
        imitation=objective.imitation,
        reference=objective.reference,
        temporal=any(term.knots for name in MAP_NAMES for term in getattr(maps, name)),
        maps=maps,
        provenance=provenance,
    )


def closed_objective(card: ClosedCard) -> MirrorObjective:
    """The objective that a card describes."""

    def sum_of(terms: list[TermCard]) -> SumOfTerms:
        return SumOfTerms(
            tuple(Term(one.weight, one.feature, one.slope, one.offset, one.time, one.knots) for one in terms)
        )

    phi_inv, psi, g = (sum_of(getattr(card.maps, name)) for name in MAP_NAMES)
    return MirrorObjective(phi_inv, psi, g, card.bracket, card.imitation, card.reference)


def _terms(sum_: SumOfTerms) -> list[TermCard]:
    return [
        TermCard(
            weight=_number(term.weight), feature=term.feature, slope=_number(term.slope), offset=_number(term.offset),
            time=term.shape, knots=[_number(knot) for knot in np.asarray(term.knots)],
        )
        for term in sum_.terms
    ]  # fmt: skip


def _number(value: Any) -> float:
    """The shortest decimal that gives the same float32."""
    return float(str(np.float32(value)))
