"""A formula as LaTeX."""

import re
from typing import Any

from mpo_core.formula.expression import Definition, Expression, Formula, number
from mpo_core.formula.literature import as_published

ATOM, CALL, POWER, PRODUCT, SUM, CONDITION = 6, 5, 4, 3, 2, 1
Text = tuple[str, int]
"""An expression and how tightly it binds."""
POLICY = {
    "lw": r"\log\pi_\theta(y_w \mid x)", "ll": r"\log\pi_\theta(y_l \mid x)",
    "rw": r"\log\pi_{\mathrm{ref}}(y_w \mid x)", "rl": r"\log\pi_{\mathrm{ref}}(y_l \mid x)",
    "mw": r"\frac{1}{|y_w|}\log\pi_\theta(y_w \mid x)", "ml": r"\frac{1}{|y_l|}\log\pi_\theta(y_l \mid x)",
    "qw": r"\frac{1}{|y_w|}\log\pi_{\mathrm{ref}}(y_w \mid x)",
    "ql": r"\frac{1}{|y_l|}\log\pi_{\mathrm{ref}}(y_l \mid x)",
}  # fmt: skip
RATIO = {side: rf"\log\frac{{\pi_\theta(y_{side} \mid x)}}{{\pi_{{\mathrm{{ref}}}}(y_{side} \mid x)}}" for side in "wl"}
RATIOS = {("lw", "rw"): RATIO["w"], ("ll", "rl"): RATIO["l"]}
NAMES = {
    "nw": "|y_w|", "nl": "|y_l|", "D": r"\Delta", "A": r"\bar{a}", "B": r"\bar{b}", "P": r"\Delta_\theta",
    "R": r"\Delta_{\mathrm{ref}}", "q_g": "q_g", "share_g": r"\hat{p}_g", "zw": "z_w", "zl": "z_l", "wq": "w_q",
    "wp": "w_p", "gap": "r", "m0": r"\bar\Delta", "center": r"\mu", "sd": "s", "psi": r"\psi", "phi_inv": r"\phi^{-1}",
    "tame_exp": r"\widetilde{\exp}", "step_size": r"\eta",
    # settings
    "lam": r"\lambda", "epsilon": r"\varepsilon", "temperature": "T", "desirable": r"\lambda_D",
    "undesirable": r"\lambda_U", "sft": r"\lambda_{\mathrm{sft}}", "dpo": r"\lambda_{\mathrm{dpo}}",
    "bco": r"\lambda_{\mathrm{bco}}", "shift": r"\delta", "kl": r"\kappa", "clip": "r", "lo": "f_0", "hi": "f_1",
    "t0": "t_0", "t1": "t_1", "cmin": r"c_{\min}", "cmax": r"c_{\max}", "bt": r"\beta_m", "w0": "w_0", "dr": "r",
    "beta_ln": r"\beta_{\mathrm{ln}}", "tau_ref": r"\tau_{\mathrm{ref}}",
}  # fmt: skip
GREEK = ("alpha", "beta", "gamma", "delta", "eta", "tau")
FUNCTIONS = {
    "log": r"\log", "sigmoid": r"\sigma", "tanh": r"\tanh", "min": r"\min", "max": r"\max", "sg": r"\operatorname{sg}",
    "clip": r"\operatorname{clip}", "mean": r"\operatorname{mean}", "std": r"\operatorname{std}",
    "var": r"\operatorname{var}", "logit": r"\operatorname{logit}", "sign": r"\operatorname{sign}",
    "softplus": r"\operatorname{softplus}", "interpolate": r"\operatorname{lin}",
}  # fmt: skip
CONDITIONS = {"lt": "<", "gt": ">", "le": r"\leq", "ge": r"\geq", "eq": "=", "ne": r"\neq"}
MEANINGS = {
    r"\operatorname{sg}": "sg: without gradient",
    r"\operatorname{EMA}": "EMA: moving average over the updates",
    r"\operatorname{mean}": "mean, std, var: over the minibatch",
    r"\operatorname{lin}": "lin(t, ...): linear in t between values at equal steps from t = 0 to t = 1",
    r"\operatorname{sort}": "sort: over the minibatch",
    "(t)": "t: progress of training, 0 to 1",
    r"\widetilde{\exp}": "exp with a tilde: a straight line beyond the exponent 3",
}
DIGITS = 4
LONG_ROW = 80
"""Characters of an equation's row behind which the next term begins a new one."""
TIMED = "@t"
"""Behind the name of a function that changes over training."""


def symbol(name: str) -> str:
    """A name as mathematicians write it."""
    if name in NAMES:
        return NAMES[name]
    if name in GREEK:
        return rf"\{name}"
    letters = re.fullmatch(r"([A-Za-z])_?(\d*|[a-z])", name)
    if letters:
        return f"{letters[1]}_{{{letters[2]}}}" if letters[2] else name
    return r"\mathrm{" + name.replace("_", r"\_") + "}"


def latex_lines(formula: Formula) -> list[str]:
    """The loss and its definitions, an equation each."""
    found = _timed(as_published(formula))
    return [_equation(r"\mathcal{L}", found.loss), *(_definition(one) for one in found.definitions)]


def _timed(formula: Formula) -> Formula:
    """With a mark on functions that see progress beside their variable."""
    marked = {one.name: one.name + TIMED for one in formula.definitions if _sees_time(one)}

    def change(one: Expression) -> Expression:
        return Expression(one.op, one.args, marked.get(str(one.value), one.value)) if one.op == "apply" else one

    named = tuple(Definition(marked.get(one.name, one.name), one.body, one.variable) for one in formula.definitions)
    return Formula(formula.loss, named, formula.note).mapped(change)


def _sees_time(one: Definition) -> bool:
    return one.variable not in (None, "t") and "t" in one.body.names()


def latex_line(formula: Formula) -> str:
    """The loss with its definitions behind it, in one line."""
    note = rf"\quad\text{{({formula.note})}}" if formula.note else ""
    return r",\quad ".join(latex_lines(formula)) + note


def latex_document(formula: Formula, *, title: str, told: list[str], lines: bool) -> str:
    """An environment of amsmath, with comments that say what the symbols are.

    Args:
        formula: the loss.
        title: first comment.
        told: further comments.
        lines: whether each definition stands in a line of its own.
    """
    body = latex_lines(formula) if lines else [latex_line(formula)]
    whole = " ".join(body)
    said = ["y_w, y_l: chosen and rejected; pi_theta: the policy; |y|: length in tokens"]
    said += ["pi_ref: the reference policy"] if r"\pi_{\mathrm{ref}}" in whole else []
    said += [meaning for sign, meaning in MEANINGS.items() if sign in whole]
    said += ["m: margin of reward"] if re.search(r"\bm\b", whole) else []
    begin, end = (r"\begin{align*}", r"\end{align*}") if lines else (r"\begin{equation*}", r"\end{equation*}")
    if lines:
        rows = [row for one in body for row in _rows(one)]
        body = [row + r" \\" for row in rows[:-1]] + rows[-1:]
    return "\n".join([f"% {title}", *(f"% {one}" for one in [*told, *said]), begin, *body, end, ""])


def _rows(equation: str) -> list[str]:
    """An equation in rows of `align*`, broken between terms where it is long."""
    rows, row, depth = [], "", 0
    for token in re.split(r"(?<= )(?=[+-] )", equation.replace(" = ", " &= ", 1)):
        if depth == 0 and row and len(row) > LONG_ROW:
            rows.append(row.rstrip())
            row = r"&\quad "
        row += token
        depth += sum(token.count(sign) for sign in "({") - sum(token.count(sign) for sign in ")}")
    return [*rows, row]


def _equation(left: str, right: Expression) -> str:
    return f"{left} = {_text(right)[0]}"


def _definition(one: Definition) -> str:
    function, time, _ = one.name.partition(TIMED)
    left = symbol(function) + (f"({one.variable}{', t' if time else ''})" if one.variable else "")
    return _equation(left, one.body)


def _bracketed(one: Expression, least: int) -> str:
    text, binds = _text(one)
    return _round(text) if binds < least else text


def _round(text: str) -> str:
    """In parentheses, which grow where there is something tall inside."""
    tall = any(sign in text for sign in (r"\frac", r"\sum", r"\left", "^"))
    return rf"\left({text}\right)" if tall else f"({text})"


def _text(one: Expression) -> Text:
    if one.op == "number":
        return _number(float(one.value))
    if one.op == "name":
        plain = POLICY.get(str(one.value))
        return (plain, CALL) if plain else (symbol(str(one.value)), ATOM)
    special: Any = _SPECIAL.get(one.op)
    if special is not None:
        return special(one)
    if one.op in CONDITIONS:
        left, right = (_text(side)[0] for side in one.args)
        return f"{left} {CONDITIONS[one.op]} {right}", CONDITION
    if one.op in FUNCTIONS:
        return rf"{FUNCTIONS[one.op]}{_arguments(one)}", CALL
    raise NotImplementedError(f"no LaTeX form of {one.op}")


def _arguments(one: Expression) -> str:
    (first, *others) = one.args
    whole = r",\, ".join(_text(arg)[0] for arg in one.args)
    bare = one.op == "log" and not others and first.op in ("sigmoid", "number", "name")
    return f" {whole}" if bare and first.op != "sigmoid" else whole if bare else _round(whole)


def _number(value: float) -> Text:
    text = f"{value:.{DIGITS}g}"
    mantissa, e, exponent = text.partition("e")
    if e:
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}", PRODUCT
    return text, SUM if value < 0 else ATOM


def _sum(one: Expression) -> Text:
    ratio = RATIOS.get(_pair(one)) if one.op == "sub" else None
    if ratio:
        return ratio, CALL
    left, right = one.args
    sign = "+" if one.op == "add" else "-"
    return f"{_bracketed(left, SUM)} {sign} {_bracketed(right, SUM if sign == '+' else PRODUCT)}", SUM


def _pair(one: Expression) -> tuple[str, str]:
    left, right = one.args
    return str(left.value), str(right.value)


def _mul(one: Expression) -> Text:
    left, right = _bracketed(one.args[0], PRODUCT), _bracketed(one.args[1], POWER)
    if right[:1].isdigit():
        return rf"{left} \cdot {right}", PRODUCT
    return rf"{left}\, {right}" if _close(left, right) else f"{left} {right}", PRODUCT


def _close(left: str, right: str) -> bool:
    """Whether two factors want a small space between them."""
    return right.startswith("\\log") or left.endswith((")", "}")) or right.startswith((r"\op", r"\frac", r"\wide"))


def _div(one: Expression) -> Text:
    top, bottom = one.args
    ratio = RATIOS.get(_pair(top)) if top.op == "sub" else None
    if ratio and bottom.value in ("nw", "nl"):
        return rf"\frac{{1}}{{{symbol(str(bottom.value))}}}{ratio}", CALL
    return rf"\frac{{{_text(one.args[0])[0]}}}{{{_text(one.args[1])[0]}}}", CALL


def _neg(one: Expression) -> Text:
    return f"-{_bracketed(one.args[0], PRODUCT)}", SUM


def _pow(one: Expression) -> Text:
    base, exponent = one.args
    least = ATOM if base.op in ("exp", "div", "sub", "log") else CALL
    return f"{_bracketed(base, least)}^{{{_text(exponent)[0]}}}", POWER


def _exp(one: Expression) -> Text:
    return f"e^{{{_text(one.args[0])[0]}}}", CALL


def _if(one: Expression) -> Text:
    condition, then, other = one.args
    if other == number(0.0) and then == number(1.0):
        return rf"\mathbf{{1}}[{_text(condition)[0]}]", CALL
    opposite = {"lt": r"\geq", "gt": r"\leq", "le": ">", "ge": "<", "eq": r"\neq", "ne": "="}[condition.op]
    left, right = (_text(side)[0] for side in condition.args)
    shown = ""
    for sign, value in ((CONDITIONS[condition.op], then), (opposite, other)):
        minus, value = ("-", value.args[0]) if value.op == "neg" else ("+", value)
        factor = "" if value == number(1.0) else rf"\, {_bracketed(value, PRODUCT)}"
        if value != number(0.0):
            shown += rf" {minus} \mathbf{{1}}[{left} {sign} {right}]{factor}"
    return shown.removeprefix(" + ").strip().replace("- ", "-", shown.startswith(" - ")), SUM


def _relu(one: Expression) -> Text:
    return r"\max" + _round(rf"0,\, {_text(one.args[0])[0]}"), CALL


def _abs(one: Expression) -> Text:
    return rf"\left|{_text(one.args[0])[0]}\right|", CALL


def _sqrt(one: Expression) -> Text:
    return rf"\sqrt{{{_text(one.args[0])[0]}}}", CALL


def _apply(one: Expression) -> Text:
    function, time, _ = str(one.value).partition(TIMED)
    return symbol(function) + _round(_text(one.args[0])[0] + (r",\, t" if time else "")), CALL


def _at(one: Expression) -> Text:
    return f"{symbol(str(one.value))}_j", ATOM


def _mean_over(one: Expression) -> Text:
    under, count = ("j", "N") if one.op == "mean_over" else (r"j \neq i", "N - 1")
    inner = one.args[0]
    sign, inner = ("-", inner.args[0]) if inner.op == "neg" else ("", inner)
    text = rf"\frac{{1}}{{{count}}} \sum_{{{under}}} {_bracketed(inner, PRODUCT)}"
    return sign + text, SUM if sign else PRODUCT


def _ranked(one: Expression) -> Text:
    values, by = (_text(arg)[0] for arg in one.args)
    return rf"\operatorname{{sort}}{_round(values)}_{{\operatorname{{rank}}{_round(by)}}}", CALL


def _ema(one: Expression) -> Text:
    return r"\operatorname{EMA}" + _round(_text(one.args[1])[0]), CALL


def _kl(one: Expression) -> Text:
    first, second = (rf"\mathcal{{B}}{_round(_text(arg)[0])}" for arg in one.args)
    return rf"\mathrm{{KL}}({first} \,\|\, {second})", CALL


_SPECIAL = {
    "add": _sum, "sub": _sum, "mul": _mul, "div": _div, "neg": _neg, "pow": _pow, "exp": _exp, "if": _if,
    "relu": _relu, "abs": _abs, "sqrt": _sqrt, "apply": _apply, "at": _at, "mean_over": _mean_over,
    "mean_others": _mean_over, "ranked": _ranked, "ema": _ema, "bernoulli_kl": _kl,
}  # fmt: skip
