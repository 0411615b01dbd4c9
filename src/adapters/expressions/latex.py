"""A graph of operations as LaTeX."""

from typing import Any

import numpy as np

from adapters.expressions.graph import Node, trace_objective
from adapters.expressions.text import ATOM, CALL, COMPARISON, PRODUCT, SUM, UNARY, ExpressionText, Text, is_number
from mpo_core.objective.interface import AbstractObjective

SYMBOLS = {
    "logp_chosen": r"\ell_w", "logp_rejected": r"\ell_l", "ref_chosen": r"\ell^{\mathrm{ref}}_w",
    "ref_rejected": r"\ell^{\mathrm{ref}}_l", "chosen_length": "n_w", "rejected_length": "n_l", "progress": "t",
    "margin": "m",
}  # fmt: skip
FUNCTIONS = {
    "log": r"\log", "tanh": r"\tanh", "logistic": r"\sigma", "relu": r"\mathrm{relu}", "sign": r"\mathrm{sign}",
    "max": r"\max", "min": r"\min", "not": r"\neg", "sort": r"\mathrm{sort}", "iota": r"\mathrm{arange}",
    "gather": r"\mathrm{take}", "dot_general": r"\mathrm{dot}", "concatenate": r"\mathrm{concat}",
}  # fmt: skip
BINARY = {
    "add": ("+", SUM), "sub": ("-", SUM), "lt": ("<", COMPARISON), "gt": (">", COMPARISON),
    "ge": (r"\ge", COMPARISON), "le": (r"\le", COMPARISON), "eq": ("=", COMPARISON), "ne": (r"\ne", COMPARISON),
    "and": (r"\wedge", COMPARISON), "or": (r"\vee", COMPARISON),
}  # fmt: skip
SAME = ("convert_element_type", "broadcast_in_dim", "reshape", "transpose")
"""Operations about the layout of arrays, which a formula does not show."""


def latex(objective: AbstractObjective, *, title: str) -> str:
    """The loss of a row as an `align*` environment (amsmath), with a comment that says what the symbols are."""
    body = LatexBody(trace_objective(objective))
    lines = [rf"{name} &= {text} \\" for name, text in zip(body.names, body.texts, strict=True)]
    arrays = [rf"{name} &= {_array(value)} \\" for name, value in body.constants.items()]
    return "\n".join(
        [
            f"% {title}",
            "% w chosen, l rejected; \\ell summed log-probs; n lengths in tokens; t progress; m reward margin",
            r"\begin{align*}",
            *arrays,
            *lines,
            rf"L &= {body.result}",
            r"\end{align*}",
            "",
        ]
    )


class LatexBody(ExpressionText):
    """Formulas that lead to a graph's output."""

    def __init__(self, out: Node):
        self.constants: dict[str, np.ndarray] = {}
        super().__init__(out)

    def argument(self, name: str) -> str:
        """Its symbol."""
        return SYMBOLS[name]

    def name(self, place: int) -> str:
        """x with an index."""
        return f"x_{{{place}}}"

    def bracketed(self, text: str) -> str:
        """In parentheses that grow."""
        return rf"\left({text}\right)"

    def literal(self, node: Node) -> Text:
        """A number, or the name of an array."""
        if node.shape:
            name = next((name for name, known in self.constants.items() if known is node.value), None)
            name = name or f"C_{{{len(self.constants)}}}"
            self.constants[name] = node.value
            return name, ATOM
        value = node.value.item()
        return _number(value), UNARY if not isinstance(value, bool) and value < 0 else ATOM

    def operation(self, node: Node) -> Text:
        """An operation as mathematicians write it."""
        if node.op in BINARY:
            sign, binds = BINARY[node.op]
            return f"{self.text(node.inputs[0], binds)[0]} {sign} {self.text(node.inputs[1], binds + 1)[0]}", binds
        if node.op in SAME:
            return self.text(node.inputs[0])
        special: Any = getattr(self, f"_op_{node.op}", None)
        if special is not None:
            return special(*node.inputs) if node.inputs else special(node)
        if node.op not in FUNCTIONS:
            raise NotImplementedError(f"no LaTeX form of the operation {node.op}")
        parts = ", ".join(self.text(one)[0] for one in node.inputs)
        return rf"{FUNCTIONS[node.op]}\left({parts}\right)", CALL

    def _op_mul(self, one: Node, other: Node) -> Text:
        sign = r" \cdot " if is_number(other) else r"\,"
        return f"{self.text(one, PRODUCT)[0]}{sign}{self.text(other, PRODUCT + 1)[0]}", PRODUCT

    def _op_div(self, one: Node, other: Node) -> Text:
        return rf"\frac{{{self.text(one)[0]}}}{{{self.text(other)[0]}}}", CALL

    def _op_neg(self, one: Node) -> Text:
        return f"-{self.text(one, UNARY)[0]}", UNARY

    def _op_exp(self, one: Node) -> Text:
        return f"e^{{{self.text(one)[0]}}}", CALL

    def _op_expm1(self, one: Node) -> Text:
        return f"e^{{{self.text(one)[0]}}} - 1", SUM

    def _op_log1p(self, one: Node) -> Text:
        return rf"\log\left(1 + {self.text(one, SUM)[0]}\right)", CALL

    def _op_abs(self, one: Node) -> Text:
        return rf"\left|{self.text(one)[0]}\right|", CALL

    def _op_sqrt(self, one: Node) -> Text:
        return rf"\sqrt{{{self.text(one)[0]}}}", CALL

    def _op_square(self, one: Node) -> Text:
        return f"{self.text(one, ATOM)[0]}^2", UNARY

    def _op_logaddexp(self, one: Node, other: Node) -> Text:
        if is_number(other):
            return rf"\mathrm{{softplus}}\left({self.text(one)[0]}\right)", CALL
        return rf"\log\left(e^{{{self.text(one)[0]}}} + e^{{{self.text(other)[0]}}}\right)", CALL

    def _op_select_n(self, which: Node, false: Node, true: Node) -> Text:
        left, right = self.text(true)[0], self.text(false)[0]
        condition = self.text(which)[0]
        return rf"\begin{{cases}}{left} & \text{{if }} {condition}\\ {right} & \text{{else}}\end{{cases}}", CALL

    def _op_stop_gradient(self, one: Node) -> Text:
        return rf"\mathrm{{sg}}\left({self.text(one)[0]}\right)", CALL

    def _op_reduce_sum(self, one: Node) -> Text:
        return rf"\sum {self.text(one, CALL)[0]}", PRODUCT

    def _op_dim_as_value(self, node: Node) -> Text:
        return str(node.params["dim"]).replace("rows", "N"), ATOM

    def _op_squeeze(self, one: Node) -> Text:
        if one.op == "slice":
            return f"{self.text(one.inputs[0], ATOM)[0]}[{one.params['start_indices'][0]}]", CALL
        return self.text(one)


def _number(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    mantissa, e, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else text


def _array(value: np.ndarray) -> str:
    rows = np.atleast_2d(value)
    body = r" \\ ".join(" & ".join(_number(float(one)) for one in row) for row in rows)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"
