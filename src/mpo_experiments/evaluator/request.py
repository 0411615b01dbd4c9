"""What is asked of the evaluator; needs no JAX."""

import dataclasses
import json
from typing import Any

from mpo_core.names import unknown_name

UNITS = 6
"""Units of replication unless told otherwise: at the quick size within a minute on two cores, compilation of the loss
included."""
SECONDS, GIGABYTES = 300.0, 8.0
LEAST_GIGABYTES = 2.0
"""Under it not even the simulator starts."""


@dataclasses.dataclass(frozen=True)
class EvaluationRequest:
    """Where a loss is scored."""

    task: str = "halfcheetah"
    data: str = "mixed:0.75"
    preset: str = "quick"
    units: int = UNITS
    seed: int = 0
    sft_epochs: int = 0
    held_out: bool = False
    """On the units of the reporting stream (those of `mpo benchmark`'s table) instead of the selection stream's (those
    of `mpo train`)."""

    @property
    def stream(self) -> str:
        """The name of the stream of seeds."""
        return "reporting" if self.held_out else "selection"

    def as_json(self) -> str:
        """One line that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> "EvaluationRequest":
        """What `as_json` wrote.

        Raises:
            ValueError: it names something else.
        """
        given: dict[str, Any] = json.loads(text)
        names = [field.name for field in dataclasses.fields(EvaluationRequest)]
        for name in given:
            if name not in names:
                raise unknown_name("setting of an evaluation", name, names)
        return EvaluationRequest(**given)
