"""Which pairs a dataset holds and how they are judged: a value with one canonical text form."""

import dataclasses
import math

from mpo_core.names import shortened, unknown_name

TERMS = {
    "base": "original against target agent in every row",
    "noisy:E": "a share E of the labels is flipped (0 <= E <= 1)",
    "mixed:Q": "a share Q of the rows has both trajectories from the original agent (0 <= Q <= 1)",
    "judge:T": "Bradley-Terry judge of temperature T, in units of return (0 always picks the better one)",
    "pairs:oo=A,ot=B,tt=C": "shares of original/original, original/target and target/target rows (sum 1)",
}
KINDS = ("oo", "ot", "tt")


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """A preference dataset's faults.

    `pairs` holds the shares of rows with two original trajectories, one of each agent, and two target trajectories.
    """

    pairs: tuple[float, float, float] = (0.0, 1.0, 0.0)
    noise: float = 0.0
    temperature: float = 0.0

    def __post_init__(self):
        if not (_share(self.noise) and all(_share(share) for share in self.pairs)):
            raise ValueError(
                f"data specification: shares must lie in [0, 1], not noise {self.noise}, pairs {self.pairs}"
            )
        if not math.isclose(sum(self.pairs), 1.0, abs_tol=1e-6):
            raise ValueError(f"data specification: the shares of 'pairs' must sum to 1, not {sum(self.pairs):g}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"data specification: the judge's temperature must be >= 0, not {self.temperature}")

    def __str__(self) -> str:
        terms = []
        original, mixed, target = self.pairs
        if target:
            terms.append(f"pairs:oo={_text(original)},ot={_text(mixed)},tt={_text(target)}")
        elif original:
            terms.append(f"mixed:{_text(original)}")
        if self.noise:
            terms.append(f"noisy:{_text(self.noise)}")
        if self.temperature:
            terms.append(f"judge:{_text(self.temperature)}")
        return "+".join(terms) or "base"

    def kind_counts(self, rows: int) -> tuple[int, int, int]:
        """How many of `rows` rows are of each kind: the shares, rounded by largest remainder."""
        exact = [share * rows for share in self.pairs]
        counts = [math.floor(value + 1e-9) for value in exact]
        by_remainder = sorted(range(3), key=lambda kind: counts[kind] - exact[kind])
        for kind in by_remainder[: rows - sum(counts)]:
            counts[kind] += 1
        return counts[0], counts[1], counts[2]


def _share(value: float) -> bool:
    return 0.0 <= value <= 1.0  # False for NaN


def _text(value: float) -> str:
    """The shortest text that gives the number back; without a plus, which joins terms."""
    short = f"{value:g}"
    return (short if float(short) == value else repr(value)).replace("e+", "e")


def _number(text: str, term: str) -> float:
    try:
        return float(text) + 0.0  # -0 is 0
    except ValueError:
        raise ValueError(f"data specification: {shortened(term)!r} needs a number, not {shortened(text)!r}") from None


def _pair_shares(text: str, term: str) -> tuple[float, float, float]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        kind, _, value = (piece.strip() for piece in part.partition("="))
        if kind not in KINDS:
            raise unknown_name("kind of pair", kind, KINDS)
        if kind in shares:
            raise ValueError(f"data specification: {shortened(term)!r} gives the share of {kind!r} twice")
        shares[kind] = _number(value, term)
    oo, ot, tt = (shares.get(kind, 0.0) for kind in KINDS)
    return oo, ot, tt


def parse_data_spec(text: str) -> DataSpec:
    """Reads `base`, `noisy:E`, `mixed:Q`, `judge:T`, `pairs:...`, or several joined by `+`.

    Raises:
        ValueError: one sentence that names the term and what is allowed.
    """
    found: dict = {}
    shown = shortened(text)
    for term in text.strip().split("+"):
        name, _, value = term.strip().partition(":")
        if name not in ("base", "noisy", "mixed", "judge", "pairs"):
            raise unknown_name("data term", name, ("base", "noisy:E", "mixed:Q", "judge:T", "pairs:oo=A,ot=B,tt=C"))
        field = {"noisy": "noise", "judge": "temperature", "base": "base"}.get(name, "pairs")
        if field in found:
            raise ValueError(f"data specification {shown!r}: more than one term sets the {field}")
        if name == "base":
            if value:
                raise ValueError(f"data specification {shown!r}: 'base' takes no value")
            found[field] = True
        elif name == "pairs":
            found[field] = _pair_shares(value, term)
        else:
            number = _number(value, term)
            if name != "judge" and not _share(number):
                raise ValueError(
                    f"data specification {shown!r}: '{name}' takes a share between 0 and 1, not {shortened(value)}"
                )
            found[field] = (number, 1 - number, 0.0) if name == "mixed" else number
    found.pop("base", None)
    return DataSpec(**found)
