"""Printing a graph of operations: what is long or used twice gets a name, the rest is written in place."""

from abc import ABC, abstractmethod

from adapters.expressions.graph import Node

LONGEST = 88
"""Longer expressions get a name of their own, in characters."""
ATOM, CALL, UNARY, PRODUCT, SUM, COMPARISON = 6, 5, 4, 3, 2, 1
Text = tuple[str, int]
"""An expression and how tightly it binds."""


class ExpressionText(ABC):
    """The statements that lead to a graph's output, in `names` and `texts`; `result` is the output itself."""

    def __init__(self, out: Node):
        self.names: list[str] = []
        self.texts: list[str] = []
        self._uses, self._out = _uses(out), out
        self._named: dict[int, str] = {}
        self.result = self.text(out)[0]

    @abstractmethod
    def argument(self, name: str) -> str:
        """How an argument of the loss is written."""

    @abstractmethod
    def literal(self, node: Node) -> Text:
        """How a constant is written."""

    @abstractmethod
    def operation(self, node: Node) -> Text:
        """How an operation is written."""

    @abstractmethod
    def bracketed(self, text: str) -> str:
        """An expression in parentheses."""

    @abstractmethod
    def name(self, place: int) -> str:
        """The name of the next statement."""

    def text(self, node: Node, least: int = 0) -> Text:
        """An expression, in parentheses if it binds more loosely than `least`."""
        if id(node) in self._named:
            return self._named[id(node)], ATOM
        if node.op == "input":
            return self.argument(node.value), ATOM
        text, binds = self.literal(node) if node.op == "literal" else self.operation(node)
        if self._deserves_name(node, text, binds):
            self.names.append(self.name(len(self.names)))
            self.texts.append(text)
            self._named[id(node)] = self.names[-1]
            return self.names[-1], ATOM
        return (self.bracketed(text), ATOM) if binds < least else (text, binds)

    def _deserves_name(self, node: Node, text: str, binds: int) -> bool:
        if node.op == "dim_as_value" or is_number(node) or node is self._out or binds == ATOM:
            return False
        return self._uses[id(node)] > 1 or len(text) > LONGEST


def is_number(node: Node) -> bool:
    """Whether a node is one number, for all rows or none."""
    if node.op == "broadcast_in_dim":
        return is_number(node.inputs[0])
    return node.op == "literal" and not node.shape


def _uses(out: Node) -> dict[int, int]:
    """How often each node is read."""
    uses: dict[int, int] = {id(out): 1}
    stack, seen = [out], {id(out)}
    while stack:
        for one in stack.pop().inputs:
            uses[id(one)] = uses.get(id(one), 0) + 1
            if id(one) not in seen:
                seen.add(id(one))
                stack.append(one)
    return uses
