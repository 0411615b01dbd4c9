"""A graph of operations as PyTorch source."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adapters.expressions.graph import ARGUMENTS, Node
from adapters.expressions.text import ATOM, CALL, COMPARISON, PRODUCT, SUM, UNARY, ExpressionText, Text, is_number

ROWS = "logp_chosen.shape[0]"
BINARY = {  # sign, and how tight its operands bind at least: & and | come before comparisons in Python
    "add": ("+", SUM), "sub": ("-", SUM), "mul": ("*", PRODUCT), "div": ("/", PRODUCT),
    "lt": ("<", COMPARISON), "gt": (">", COMPARISON), "ge": (">=", COMPARISON), "le": ("<=", COMPARISON),
    "eq": ("==", COMPARISON), "ne": ("!=", COMPARISON), "and": ("&", ATOM), "or": ("|", ATOM),
}  # fmt: skip
UNARY_CALLS = {
    "exp": "torch.exp", "log": "torch.log", "log1p": "torch.log1p", "expm1": "torch.expm1", "abs": "torch.abs",
    "logistic": "torch.sigmoid", "tanh": "torch.tanh", "sqrt": "torch.sqrt", "square": "torch.square",
    "relu": "torch.relu", "sign": "torch.sign", "not": "torch.logical_not",
}  # fmt: skip
HELPERS = {
    "maximum": "def maximum(a, b):\n    return torch.maximum(*torch.broadcast_tensors(*_tensors(a, b)))",
    "minimum": "def minimum(a, b):\n    return torch.minimum(*torch.broadcast_tensors(*_tensors(a, b)))",
    "logaddexp": "def logaddexp(a, b):\n    return torch.logaddexp(*torch.broadcast_tensors(*_tensors(a, b)))",
    "softplus": (
        'def softplus(x):\n    """log(1 + e^x); -log sigmoid(x) is softplus(-x)."""\n'
        "    return torch.logaddexp(x, torch.zeros_like(x))"
    ),
}
TENSORS = (
    "def _tensors(a, b):\n    like = a if torch.is_tensor(a) else b\n"
    "    return [x if torch.is_tensor(x) else torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (a, b)]"
)


class TorchBody(ExpressionText):
    """Statements of a function that computes a graph's output from its arguments.

    `helpers` are the names of functions that it calls, `constants` the arrays that it reads.
    """

    def __init__(self, out: Node):
        self.helpers: list[str] = []
        self.constants: dict[str, np.ndarray] = {}
        super().__init__(out)

    def lines(self) -> list[str]:
        """The statements, the last of which returns the loss."""
        assigned = [f"{name} = {text}" for name, text in zip(self.names, self.texts, strict=True)]
        return [*assigned, f"return {self.result}"]

    def argument(self, name: str) -> str:
        """Its name."""
        return name

    def name(self, place: int) -> str:
        """x0, x1, ..."""
        return f"x{place}"

    def bracketed(self, text: str) -> str:
        """In parentheses."""
        return f"({text})"

    def literal(self, node: Node) -> Text:
        """A number, or the name of an array."""
        array = node.value
        if array.shape:
            name = next((name for name, known in self.constants.items() if known is array), None)
            name = name or f"CONSTANT_{len(self.constants)}"
            self.constants[name] = array
            return f"{name}.to(logp_chosen)", ATOM
        value = array.item()
        if isinstance(value, float) and not np.isfinite(value):
            return f'float("{value}")', ATOM
        return repr(value), UNARY if not isinstance(value, bool) and value < 0 else ATOM

    def _call(self, function: str, *nodes: Node) -> Text:
        return f"{function}({', '.join(self.text(node)[0] for node in nodes)})", CALL

    def _help(self, name: str, *nodes: Node) -> Text:
        if name not in self.helpers:
            self.helpers.append(name)
        return self._call(name, *nodes)

    def operation(self, node: Node) -> Text:
        """An operation of torch."""
        if node.op in BINARY:
            sign, least = BINARY[node.op]
            chains = least in (COMPARISON, ATOM)  # Python reads a < b == c as two comparisons
            left = self.text(node.inputs[0], min(least + chains, ATOM))[0]
            right = self.text(node.inputs[1], min(least + 1, ATOM))[0]
            return f"{left} {sign} {right}", least if least < ATOM else COMPARISON
        if node.op in UNARY_CALLS:
            return self._call(UNARY_CALLS[node.op], *node.inputs)
        special: Callable[[Node], Text] | None = getattr(self, f"_op_{node.op}", None)
        if special is None:
            raise NotImplementedError(f"no torch form of the operation {node.op}")
        return special(node)

    def _op_neg(self, node: Node) -> Text:
        return f"-{self.text(node.inputs[0], UNARY)[0]}", UNARY

    def _op_max(self, node: Node) -> Text:
        return self._help("maximum", *node.inputs)

    def _op_min(self, node: Node) -> Text:
        return self._help("minimum", *node.inputs)

    def _op_logaddexp(self, node: Node) -> Text:
        one, other = node.inputs
        if other.op == "literal" and not other.shape and other.value == 0:
            return self._help("softplus", one)
        if is_number(one) or is_number(other):
            return self._help("logaddexp", *node.inputs)
        return self._call("torch.logaddexp", *node.inputs)

    def _op_integer_pow(self, node: Node) -> Text:
        return f"{self.text(node.inputs[0], ATOM)[0]} ** {node.params['y']}", UNARY

    def _op_pow(self, node: Node) -> Text:
        return f"{self.text(node.inputs[0], ATOM)[0]} ** {self.text(node.inputs[1], ATOM)[0]}", UNARY

    def _op_select_n(self, node: Node) -> Text:
        which, false, true = (self.text(one)[0] for one in node.inputs)
        if all(is_number(one) for one in node.inputs[1:]):  # of two numbers torch makes a float32
            true = f"logp_chosen.new_tensor({true})"
        return f"torch.where({which}, {true}, {false})", CALL

    def _op_stop_gradient(self, node: Node) -> Text:
        return f"{self.text(node.inputs[0], CALL)[0]}.detach()", CALL

    def _op_convert_element_type(self, node: Node) -> Text:
        kind = np.dtype(node.params["new_dtype"]).kind
        if node.inputs[0].op == "dim_as_value":
            return self.text(node.inputs[0])
        target = {"f": "logp_chosen.dtype", "b": "torch.bool"}.get(kind, "torch.int64")
        return f"{self.text(node.inputs[0], CALL)[0]}.to({target})", CALL

    def _op_dim_as_value(self, node: Node) -> Text:
        text = _size(node.params["dim"])
        return text, ATOM if text == ROWS else SUM

    def _op_reduce_sum(self, node: Node) -> Text:
        return self._reduced(node, "sum")

    def _op_reduce_max(self, node: Node) -> Text:
        return self._reduced(node, "amax")

    def _reduced(self, node: Node, method: str) -> Text:
        axes = tuple(int(axis) for axis in node.params["axes"])
        return f"{self.text(node.inputs[0], CALL)[0]}.{method}(dim={axes})", CALL

    def _op_broadcast_in_dim(self, node: Node) -> Text:
        (source, *_), kept = node.inputs, node.params["broadcast_dimensions"]
        text, binds = self.text(source)
        if not source.shape:
            if source.op == "literal":
                return text, binds  # torch broadcasts numbers by itself
            return f"{self.text(source, CALL)[0]}.expand({self._sizes(node)})", CALL
        if len(source.shape) == len(node.shape) and source.shape == node.shape:
            return text, binds
        index = ", ".join(":" if axis in kept else "None" for axis in range(len(node.shape)))
        text = f"{self.text(source, CALL)[0]}[{index}]"
        grown = any(size != 1 for axis, size in enumerate(node.shape) if axis not in kept)
        return (f"{text}.expand({self._sizes(node)})", CALL) if grown else (text, CALL)

    def _sizes(self, node: Node) -> str:
        return ", ".join(map(_size, node.shape))

    def _op_squeeze(self, node: Node) -> Text:
        source = node.inputs[0]
        if source.op == "slice" and len(source.shape) == 1:
            return f"{self.text(source.inputs[0], CALL)[0]}[{source.params['start_indices'][0]}]", CALL
        axes = set(node.params["dimensions"])
        index = ", ".join("0" if axis in axes else ":" for axis in range(len(node.inputs[0].shape)))
        return f"{self.text(node.inputs[0], CALL)[0]}[{index}]", CALL

    def _op_slice(self, node: Node) -> Text:
        starts, stops = node.params["start_indices"], node.params["limit_indices"]
        steps = node.params["strides"] or (1,) * len(starts)
        parts = [
            ":" if (start, stop, step) == (0, size, 1) else f"{start}:{stop}" + (f":{step}" if step != 1 else "")
            for start, stop, step, size in zip(starts, stops, steps, node.inputs[0].shape, strict=True)
        ]
        return f"{self.text(node.inputs[0], CALL)[0]}[{', '.join(parts)}]", CALL

    def _op_reshape(self, node: Node) -> Text:
        return f"{self.text(node.inputs[0], CALL)[0]}.reshape({self._sizes(node)})", CALL

    def _op_transpose(self, node: Node) -> Text:
        order = ", ".join(map(str, node.params["permutation"]))
        return f"{self.text(node.inputs[0], CALL)[0]}.permute({order})", CALL

    def _op_concatenate(self, node: Node) -> Text:
        parts = ", ".join(self.text(one)[0] for one in node.inputs)
        return f"torch.cat(({parts}), dim={node.params['dimension']})", CALL

    def _op_dot_general(self, node: Node) -> Text:
        (left, right), batch = node.params["dimension_numbers"]
        if batch != ((), ()):
            raise NotImplementedError("no torch form of a batched product")
        one, other = (self.text(side)[0] for side in node.inputs)
        return f"torch.tensordot({one}, {other}, dims=({list(left)}, {list(right)}))", CALL

    def _op_iota(self, node: Node) -> Text:
        if len(node.shape) != 1:
            raise NotImplementedError("no torch form of a table of indices")
        return f"torch.arange({self._sizes(node)}, device=logp_chosen.device)", CALL

    def _op_sort(self, node: Node) -> Text:
        keys, *others = node.inputs
        place, axis = node.params.get("output", 0), node.params["dimension"]
        sorted_ = f"torch.sort({self.text(keys)[0]}, dim={axis}, stable=True)"
        if place == 0:
            return f"{sorted_}.values", CALL
        return f"{self.text(others[place - 1], CALL)[0]}[{sorted_}.indices]", CALL

    def _op_gather(self, node: Node) -> Text:
        source, index = node.inputs
        numbers = node.params["dimension_numbers"]
        simple = len(source.shape) == 1 and len(index.shape) == 2 and tuple(numbers.collapsed_slice_dims) == (0,)
        if not simple:
            raise NotImplementedError("no torch form of this indexing")
        if index.op == "broadcast_in_dim" and len(index.inputs[0].shape) == 1:
            return f"{self.text(source, CALL)[0]}[{self.text(index.inputs[0])[0]}]", CALL
        return f"{self.text(source, CALL)[0]}[{self.text(index, CALL)[0]}[:, 0]]", CALL


def _size(dimension: Any) -> str:
    """A dimension, in terms of the number of rows."""
    return str(dimension).replace("rows", ROWS)


def arguments() -> str:
    """The parameters of the exported loss."""
    return ", ".join(ARGUMENTS[:-1]) + ", margin=None"


def constant_text(value: Any) -> str:
    """An array as nested lists."""
    return repr(np.asarray(value).tolist())
