"""What the texts alone say: ties, near-duplicates and their contradictions, lengths."""

import dataclasses
from collections import defaultdict

import numpy as np
from jaxtyping import Bool, Float, UInt

from mpo_experiments.diagnose.pairs import Pairs, words

SIMILAR = 0.8
"""Share of word pairs that two rows have in common (Jaccard), from which on they are near-duplicates."""
HASHES, BANDS = 32, 8
"""Of the MinHash signatures that find candidates: rows with 0.8 in common are found with probability 0.98."""
MOST_IN_BAND = 50
"""Rows of one band that are compared with each other; of a template that thousands share, the first few suffice."""


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Rows that say nearly the same as an earlier or later one."""

    rows: int
    compared: int
    """Couples of near-duplicates with two different answers in each."""
    contradictions: int
    """Couples whose labels disagree."""


def ties(pairs: Pairs) -> Bool[np.ndarray, " row"]:
    """Rows whose two responses have the same words: whichever is called better, nothing follows."""
    same = [words(better) == words(worse) for better, worse in zip(pairs.chosen, pairs.rejected, strict=True)]
    return np.array(same, bool)


def length_difference(pairs: Pairs) -> Float[np.ndarray, " row"]:
    """Words of the chosen response less those of the rejected one."""
    counts = [
        (len(words(better)), len(words(worse))) for better, worse in zip(pairs.chosen, pairs.rejected, strict=True)
    ]
    return np.array([better - worse for better, worse in counts], float)


def length_correlation(difference: Float[np.ndarray, " row"]) -> float:
    """Kendall-like correlation of length with the label: share of pairs with the longer response chosen, less the share
    with the shorter one. 0: none, 1: the longer one is always chosen."""
    return float(np.sign(difference).mean()) if len(difference) else 0.0


def duplicates(pairs: Pairs) -> Duplicates:
    """Near-duplicate rows, and how many couples of them have opposite labels.

    A row is its prompt and both responses, in either order, as sets of neighbouring words; candidates come from
    MinHash (Broder 1997) and are verified.
    """
    sides = [[_shingles(text) for text in row] for row in zip(pairs.prompt, pairs.chosen, pairs.rejected, strict=True)]
    found: set[int] = set()
    compared = contradictions = 0
    for first, second in _candidates([set().union(*row) for row in sides]):
        if _jaccard(set().union(*sides[first]), set().union(*sides[second])) < SIMILAR:
            continue
        found |= {first, second}
        (_, better, worse), (_, other_better, other_worse) = sides[first], sides[second]
        agree = _jaccard(better, other_better) + _jaccard(worse, other_worse)
        differ = _jaccard(better, other_worse) + _jaccard(worse, other_better)
        if agree != differ:
            compared += 1
            contradictions += differ > agree
    return Duplicates(len(found), compared, contradictions)


def _shingles(text: str) -> set[int]:
    found = words(text)
    return {hash_of(pair) for pair in zip(["", *found], [*found, ""], strict=True)} if found else set()


def hash_of(pair: tuple[str, str]) -> int:
    """The same in every process, unlike Python's own: FNV-1a, 32 bits (Fowler, Noll, Vo)."""
    value = 0x811C9DC5
    for byte in " ".join(pair).encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _jaccard(first: set[int], second: set[int]) -> float:
    both = len(first | second)
    return len(first & second) / both if both else 1.0


def _candidates(rows: list[set[int]]) -> list[tuple[int, int]]:
    """Couples of rows that share a band of their signatures, each once."""
    signatures = np.stack([_signature(row) for row in rows]) if rows else np.zeros((0, HASHES), np.uint64)
    found: set[tuple[int, int]] = set()
    size = HASHES // BANDS
    for band in range(BANDS):
        places: dict[bytes, list[int]] = defaultdict(list)
        for row, signature in enumerate(signatures[:, band * size : (band + 1) * size]):
            places[signature.tobytes()].append(row)
        for rows_there in places.values():
            kept = rows_there[:MOST_IN_BAND]
            found |= {(one, two) for place, one in enumerate(kept) for two in kept[place + 1 :]}
    return sorted(found)


_DRAW = np.random.default_rng(20240607)
_FACTORS = _DRAW.integers(1, 2**31, HASHES, dtype=np.uint64)
_SHIFTS = _DRAW.integers(0, 2**31, HASHES, dtype=np.uint64)


def _signature(row: set[int]) -> UInt[np.ndarray, " hash"]:
    items = np.fromiter(row, np.uint64, len(row)) if row else np.zeros(1, np.uint64)
    return ((items[:, None] * _FACTORS + _SHIFTS) % np.uint64(4_294_967_311)).min(0)
