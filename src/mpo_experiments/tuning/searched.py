"""What files keep of a range that was searched."""

import pydantic


class SearchedRange(pydantic.BaseModel):
    """A range as it was searched in the end."""

    model_config = pydantic.ConfigDict(extra="forbid")

    low: pydantic.FiniteFloat
    high: pydantic.FiniteFloat
    log: bool
    """Whether on a logarithmic scale."""
    extended: pydantic.NonNegativeInt
    """How often it was extended tenfold, because the winner lay in its outer tenth."""
    at_edge: bool
    """Whether the winner still lies in the outer tenth of it, on a side where the setting's domain goes on."""
