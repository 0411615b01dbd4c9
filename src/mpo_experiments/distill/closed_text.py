"""A distilled objective as text, as LaTeX and as a Python module."""

import itertools
import json
from collections.abc import Callable

from adapters.storage.closed_card import ClosedCard, TermCard
from mpo_core.mirror.closed_form import FEATURES, TIME_SHAPES
from mpo_core.mirror.distillation import MAP_NAMES

PLAIN = {
    "identity": "{u}", "log_odds": "log_odds({u})", "tsallis": "tsallis({u})", "exp": "exp({u})", "tanh": "tanh({u})",
    "softplus": "softplus({u})", "log_sigmoid": "log_sigmoid({u})", "min_zero": "min({u}, 0)",
}  # fmt: skip
MEANING = {
    "log_odds": "log_odds(x) = x - log(1 - e^x)",
    "tsallis": "tsallis(u) = 1 - e^-u (a straight line for u < -3)",
    "exp": "exp(u) = e^u (a straight line for u > 3)",
    "softplus": "softplus(u) = log(1 + e^u)",
    "log_sigmoid": "log_sigmoid(u) = -log(1 + e^-u)",
}
TIME_MEANING = {
    "rise": "rise(a, b) goes from 0 at t = a to 1 at t = b",
    "fall": "fall(a, b) goes from 1 at t = a to 0 at t = b",
    "peak": "peak(a, b, c) goes from 0 at t = a over 1 at t = b to 0 at t = c",
    "growth": "growth(a, b, c) = e^y, y linear from a at t = 0 over b at t = 1/2 to c at t = 1, within -8 and 8",
}
LATEX_FEATURES = {
    "identity": "{u}", "log_odds": r"\operatorname{{logit}}\left(e^{{{u}}}\right)",
    "tsallis": r"\left(1 - e^{{-({u})}}\right)", "exp": "e^{{{u}}}", "tanh": r"\tanh\left({u}\right)",
    "softplus": r"\log\left(1 + e^{{{u}}}\right)", "log_sigmoid": r"\log\sigma\left({u}\right)",
    "min_zero": r"\min\left({u}, 0\right)",
}  # fmt: skip
LATEX_MAPS = {"phi_inv": r"\phi^{-1}(x, t)", "psi": r"\psi(x, t)", "g": "g(x, t)"}
assert set(PLAIN) == set(LATEX_FEATURES) == set(FEATURES)
assert {"constant", *TIME_MEANING} == set(TIME_SHAPES)

PYTHON_HELPERS = {
    "log_odds": "def log_odds(x):\n    return x - np.log(-np.expm1(np.minimum(x, -1.0000005e-6)))",
    "tame_exp": (
        'def tame_exp(u):\n    """e^u, a straight line beyond 3."""\n    below = np.minimum(u, 3.0)\n'
        "    return np.exp(below) * (1 + (u - below))"
    ),
    "tsallis": "def tsallis(u):\n    return 1 - tame_exp(-u)",
    "softplus": "def softplus(u):\n    return np.logaddexp(u, 0.0)",
    "log_sigmoid": "def log_sigmoid(u):\n    return -np.logaddexp(-u, 0.0)",
    "rise": "def rise(t, a, b):\n    return np.clip((t - a) / (b - a), 0.0, 1.0) if a < b else 1.0 * (t >= a)",
    "fall": "def fall(t, a, b):\n    return 1 - rise(t, a, b)",
    "peak": "def peak(t, a, b, c):\n    return np.minimum(rise(t, a, b), fall(t, b, c))",
    "growth": (
        "def growth(t, a, b, c):\n    y = a + (b - a) * np.minimum(2 * t, 1.0) + (c - b) * np.maximum(2 * t - 1, 0.0)\n"
        "    return np.exp(np.clip(y, -8.0, 8.0))"
    ),
}
NEEDS = {"tsallis": ("tame_exp",), "exp": ("tame_exp",), "fall": ("rise",), "peak": ("rise", "fall")}
PYTHON_FEATURES = {name: name for name in ("log_odds", "tsallis", "softplus", "log_sigmoid")} | {
    "exp": "tame_exp", "tanh": "np.tanh", "min_zero": "min_zero",
}  # fmt: skip


def plain_text(card: ClosedCard) -> str:
    """The formula, a map a line, and what its words mean."""
    lines = [_loss(card), _arguments(card), ""]
    width = max(map(len, MAP_NAMES)) + 6
    for name in MAP_NAMES:
        lines += [f"{name + '(x, t)':<{width}} = {_sum(getattr(card.maps, name), _plain_term)}"]
    used, times = _used(card)
    meanings = [MEANING[name] for name in MEANING if name in used]
    meanings += [TIME_MEANING[name] for name in TIME_MEANING if name in times]
    return "\n".join([*lines, *([""] if meanings else []), *meanings]) + "\n"


def latex_text(card: ClosedCard) -> str:
    """The formula as an `align*` environment (amsmath)."""
    lines = [rf"{LATEX_MAPS[name]} &= {_sum(getattr(card.maps, name), _latex_term)} \\" for name in MAP_NAMES]
    loss = r"L &= -\left[\psi(B, t) + g(" + _latex_argument("w", card.imitation) + r", t)\right] \\"
    bracket = r"B &= " + _latex_bracket(card) + r" \\"
    times = [f"% {TIME_MEANING[name]}" for name in TIME_MEANING if name in _used(card)[1]]
    notes = [f"% {_arguments(card)}", *times]
    body = [loss, bracket, *lines[:-1], lines[-1].removesuffix(r" \\")]
    return "\n".join([*notes, r"\begin{align*}", *body, r"\end{align*}", ""])


def python_module(card: ClosedCard) -> str:
    """The source of a module with `loss(...)`: plain numpy, or JAX where `np` is set to `jax.numpy`."""
    used, times = _used(card)
    wanted = [*used, *times]
    needed = {one for name in wanted for one in (name, *NEEDS.get(name, ()))}
    helpers = [source for name, source in PYTHON_HELPERS.items() if name in needed]
    if "min_zero" in used:
        helpers.append("def min_zero(u):\n    return np.minimum(u, 0.0)")
    maps = [
        f"def {name}(x, t):\n    return {_sum(getattr(card.maps, name), _python_term, empty='0.0 * x')}"
        for name in MAP_NAMES
    ]
    told = json.dumps({key: card.provenance.get(key) for key in ("task", "data", "distilled_from")}, indent=2)
    parts = [
        f'"""A preference-optimisation loss in closed form.\n\n{plain_text(card)}\nWritten by `mpo distill`. Needs '
        'numpy alone; for JAX put `import jax.numpy as np`.\n"""',
        "import numpy as np",
        f"PROVENANCE = {_as_python(told)}",
        *(f"\n{source}" for source in [*helpers, *maps, _python_loss(card)]),
    ]
    return "\n\n".join(parts) + "\n"


def _as_python(text: str) -> str:
    return text.replace(": null", ": None").replace(": true", ": True").replace(": false", ": False")


def _python_loss(card: ClosedCard) -> str:
    sides = {
        side: f"phi_inv({argument}, progress)"
        for side, argument in (
            ("w", _scaled("logp_chosen", "chosen_length", card.bracket)),
            ("l", _scaled("logp_rejected", "rejected_length", card.bracket)),
            ("qw", _scaled("ref_chosen", "chosen_length", card.bracket)),
            ("ql", _scaled("ref_rejected", "rejected_length", card.bracket)),
        )
    }
    bracket = f"{sides['w']} - {sides['l']}"
    if card.reference:
        bracket = f"({sides['w']} - {sides['qw']}) - (\n        {sides['l']} - {sides['ql']}\n    )"
    imitated = _scaled("logp_chosen", "chosen_length", card.imitation)
    return (
        "def loss(logp_chosen, logp_rejected, ref_chosen, ref_rejected, chosen_length, rejected_length, progress):\n"
        '    """The loss of each row: summed log-probs, lengths in tokens, share of all updates already made."""\n'
        f"    bracket = {bracket}\n"
        f"    return -(psi(bracket, progress) + g({imitated}, progress))"
    )


def _scaled(value: str, length: str, kind: str) -> str:
    return f"{value} / {length}" if kind == "mean" else value


def _loss(card: ClosedCard) -> str:
    reference = " - [phi_inv(q_w, t) - phi_inv(q_l, t)]" if card.reference else ""
    imitated = "w" if card.imitation == card.bracket else {"sum": "sum_w", "mean": "mean_w"}[card.imitation]
    return f"loss = -[psi(B, t) + g({imitated}, t)],  B = phi_inv(w, t) - phi_inv(l, t){reference}"


def _arguments(card: ClosedCard) -> str:
    kind = {"mean": "mean token log-probs", "sum": "log-probs summed over the trajectory"}
    said = f"w, l: {kind[card.bracket]} of chosen and rejected"
    said += "; q: the same under the reference policy" if card.reference else ""
    if card.imitation != card.bracket:
        said += f"; {card.imitation}_w: {kind[card.imitation]} of chosen"
    return said + "; t: progress of training, 0 to 1"


def _latex_argument(side: str, kind: str, of: str = r"\ell") -> str:
    return rf"\bar{{{of}}}_{side}" if kind == "mean" else f"{of}_{side}"


def _latex_bracket(card: ClosedCard) -> str:
    def phi(side: str, of: str = r"\ell") -> str:
        return rf"\phi^{{-1}}({_latex_argument(side, card.bracket, of)}, t)"

    plain = f"{phi('w')} - {phi('l')}"
    return f"{plain} - {phi('w', 'q')} + {phi('l', 'q')}" if card.reference else plain


def _sum(terms: list[TermCard], write: Callable[[str, float, float, list[TermCard]], str], empty: str = "0") -> str:
    """Terms that differ in time alone are drawn together."""
    grouped = itertools.groupby(terms, key=lambda term: (term.feature, term.slope, term.offset))
    return " + ".join(write(*key, list(group)) for key, group in grouped) or empty


def _product(weight: float, *others: str, times: str) -> str:
    """A weight and what it multiplies; one of 1 is left out."""
    number, product = f"{weight:.6g}", times.join(other for other in others if other)
    if not product:
        return number
    return product if number == "1" else times.join((number, product))


def _argument(slope: float, offset: float, times: str) -> str:
    product = "x" if slope == 1 else f"{slope:.6g}{times}x"
    return product if offset == 0 else f"{product} {'+' if offset > 0 else '-'} {abs(offset):.6g}"


def _term(group: list[TermCard], time: Callable[[TermCard], str], feature: str, times: str, brackets: str) -> str:
    """A feature with its weight, or with the weighted shapes over time that share it."""
    over_time = [time(one) if one.knots else "" for one in group]
    if len(group) == 1:
        return _product(group[0].weight, over_time[0], feature, times=times)
    weights = [_product(one.weight, shape, times=times) for one, shape in zip(group, over_time, strict=True)]
    return brackets.format(" + ".join(weights)) + times + feature


def _plain_term(feature: str, slope: float, offset: float, group: list[TermCard]) -> str:
    def time(term: TermCard) -> str:
        return f"{term.time}({', '.join(f'{knot:g}' for knot in term.knots)})"

    return _term(group, time, _plain_feature(feature, _argument(slope, offset, " ")), " ", "({})")


def _plain_feature(feature: str, argument: str) -> str:
    return argument if feature == "identity" and argument == "x" else _braced(PLAIN[feature], feature, argument)


def _braced(form: str, feature: str, argument: str) -> str:
    return form.format(u=f"({argument})" if feature == "identity" else argument)


def _latex_term(feature: str, slope: float, offset: float, group: list[TermCard]) -> str:
    def time(term: TermCard) -> str:
        knots = ",".join(f"{knot:g}" for knot in term.knots)
        return rf"\mathrm{{{term.time}}}_{{{knots}}}(t)"

    argument = _argument(slope, offset, r"\,")
    written = (
        argument if feature == "identity" and argument == "x" else _braced(LATEX_FEATURES[feature], feature, argument)
    )
    return _term(group, time, written, r"\,", r"\left({}\right)")


def _python_term(feature: str, slope: float, offset: float, group: list[TermCard]) -> str:
    def time(term: TermCard) -> str:
        return f"{term.time}(t, {', '.join(map(repr, term.knots))})"

    argument = _argument(slope, offset, " * ")
    written = f"({argument})" if feature == "identity" else f"{PYTHON_FEATURES[feature]}({argument})"
    return _term(group, time, written, " * ", "({})")


def _used(card: ClosedCard) -> tuple[set[str], set[str]]:
    """Features and shapes over time in any map."""
    terms = [term for name in MAP_NAMES for term in getattr(card.maps, name)]
    return {term.feature for term in terms}, {term.time for term in terms}
