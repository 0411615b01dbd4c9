"""Reading a formula in the notation of the cards (`mpo_core.losses.card`).

    formula    = choice {"," definition} [";" remark]
    definition = NAME ["(" NAME ")"] "=" choice
    choice     = value ["or" value]                     a setting, or what stands for it where it is left open
    value      = sum ["if" condition "else" value]      condition: a comparison, or SETTING "=" WORD
    sum        = ["-"] product {("+" | "-") product}
    product    = power {["/"] power}                    side by side: times
    power      = atom ["^" ["-"] atom]

`e^x` is the exponential, `[x < y]` 1 or 0, `mean over j of x` goes over the rows of the minibatch, `b_j` is b of row j.
"""

import re
from collections.abc import Mapping

from mpo_core.formula.expression import FUNCTIONS, Definition, Expression, Formula, name, number

TOKEN = re.compile(r"\s*(\d+\.?\d*|[A-Za-z_]\w*|\|\||!=|[-+/^()\[\]|,=<>])")
STOPS = ("if", "else", "or", "of", "over")
COMPARISONS = {"<": "lt", ">": "gt"}
Word = float | str | None


def read_formula(text: str, settings: Mapping[str, Word] | None = None) -> Formula:
    """A formula, of the variant that some settings make of it.

    Args:
        settings: numbers, words, and None for a setting that is left open.

    Raises:
        ValueError: it is not in the notation.
    """
    body, _, note = text.partition(";")
    return _Reader(body, settings or {}).formula(note.strip())


class _Reader:
    """Reads one thing after another."""

    def __init__(self, text: str, settings: Mapping[str, Word]):
        self._text, self._settings, self._place = text, settings, 0
        self._tokens = TOKEN.findall(text)
        if TOKEN.sub("", text).strip():
            raise ValueError(f"formula {text!r}: {TOKEN.sub('', text).strip()!r} is not in the notation")
        self._functions = set(re.findall(r",\s*(\w+)\(\w+\)\s*=", text))
        self._in_bars = 0

    def formula(self, note: str) -> Formula:
        loss, definitions = self._choice(), []
        while self._taken(","):
            definitions.append(self._definition())
        if self._next():
            raise self._fault()
        return Formula(loss, tuple(definitions), note)

    def _next(self, ahead: int = 0) -> str:
        at = self._place + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _taken(self, token: str) -> bool:
        there = self._next() == token
        self._place += there
        return there

    def _take(self, token: str = "") -> str:
        found = self._next()
        if not found or (token and found != token):
            raise self._fault()
        self._place += 1
        return found

    def _fault(self) -> ValueError:
        return ValueError(f"formula {self._text.strip()!r}: cannot be read at {self._next() or 'its end'!r}")

    def _definition(self) -> Definition:
        of, variable = self._take(), None
        if self._taken("("):
            variable = self._take()
            self._take(")")
        self._take("=")
        return Definition(of, self._choice(), variable)

    def _choice(self) -> Expression:
        value = self._value()
        if not self._taken("or"):
            return value
        other = self._value()
        return other if self._settings.get(str(value.value)) is None else value

    def _value(self) -> Expression:
        value = self._sum()
        if not self._taken("if"):
            return value
        if self._next(1) == "=":
            word, given = self._take(), (self._take("="), self._take())[1]
            self._take("else")
            other = self._value()
            return value if self._settings.get(word, given) == given else other
        condition = self._condition()
        self._take("else")
        return Expression("if", (condition, value, self._value()))

    def _condition(self) -> Expression:
        left, sign = self._sum(), self._take()
        if sign not in COMPARISONS:
            raise self._fault()
        return Expression(COMPARISONS[sign], (left, self._sum()))

    def _sum(self) -> Expression:
        found = Expression("neg", (self._product(),)) if self._taken("-") else self._product()
        while self._next() in ("+", "-"):
            op = "add" if self._take() == "+" else "sub"
            found = Expression(op, (found, self._product()))
        return found

    def _product(self) -> Expression:
        found = self._power()
        while True:
            if self._taken("/"):
                found = Expression("div", (found, self._power()))
            elif self._starts_atom():
                found = Expression("mul", (found, self._power()))
            else:
                return found

    def _starts_atom(self) -> bool:
        token = self._next()
        if token == "|":
            return not self._in_bars
        return token in ("(", "[") or ((token[:1].isalnum() or token[:1] == "_") and token not in STOPS)

    def _power(self) -> Expression:
        base = self._atom()
        if not self._taken("^"):
            return base
        exponent = Expression("neg", (self._atom(),)) if self._taken("-") else self._atom()
        if base == name("e"):
            return Expression("exp", (exponent,))
        return Expression("pow", (base, exponent))

    def _atom(self) -> Expression:
        token = self._take()
        if token[0].isdigit():
            return number(float(token))
        if token == "(":
            return self._closed(self._value(), ")")
        if token == "[":
            return self._closed(Expression("if", (self._condition(), number(1.0), number(0.0))), "]")
        if token == "|":
            self._in_bars += 1
            inner = self._closed(self._sum(), "|")
            self._in_bars -= 1
            return Expression("abs", (inner,))
        if not (token[0].isalpha() or token[0] == "_") or token in STOPS:
            self._place -= 1
            raise self._fault()
        return self._named(token)

    def _closed(self, inner: Expression, end: str) -> Expression:
        self._take(end)
        return inner

    def _named(self, token: str) -> Expression:
        if token == "mean" and self._taken("over"):
            return self._mean_over()
        if token == "KL":
            return self._divergence()
        function = token.lower() if token == "EMA" else token
        if token in self._functions and self._next() == "(":
            return Expression("apply", self._arguments(), token)
        if function in FUNCTIONS and self._next() == "(":
            given = self._arguments()
            return Expression(function, (name(""), *given) if function == "ema" else given)
        if function in FUNCTIONS and self._starts_atom():
            return Expression(function, (self._atom(),))
        if token.endswith("_j"):
            return Expression("at", value=token.removesuffix("_j"))
        return name(token)

    def _arguments(self) -> tuple[Expression, ...]:
        self._take("(")
        bars, self._in_bars = self._in_bars, 0
        given = [self._value()]
        while self._taken(","):
            given.append(self._value())
        self._in_bars = bars
        self._take(")")
        return tuple(given)

    def _mean_over(self) -> Expression:
        self._take("j")
        others = self._taken("!=")
        if others:
            self._take("i")
        self._take("of")
        return Expression("mean_others" if others else "mean_over", (self._product(),))

    def _divergence(self) -> Expression:
        sides = []
        for before in ("(", "||"):
            self._take(before)
            self._take("Bernoulli")
            sides.append(self._closed(self._opened(), ")"))
        self._take(")")
        return Expression("bernoulli_kl", tuple(sides))

    def _opened(self) -> Expression:
        self._take("(")
        return self._value()
