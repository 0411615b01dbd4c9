"""An objective as a graph of elementary operations, traced for any number of rows: what exports are printed from."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.extend import core

from mpo_core.objective.interface import AbstractObjective
from mpo_core.objective.pair_log_probs import PairLogProbs

ARGUMENTS = (
    "logp_chosen",
    "logp_rejected",
    "ref_chosen",
    "ref_rejected",
    "chosen_length",
    "rejected_length",
    "progress",
    "margin",
)
NAMED = {"logaddexp", "relu"}
"""Functions with a derivative of their own, kept as one operation."""


IDLE = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}
"""Operands that change nothing."""
SILENT = {"sharding", "precision", "preferred_element_type", "out_sharding"}
"""Parameters of operations that say how, not what."""


@dataclasses.dataclass(eq=False)
class Node:
    """An operation, an argument ("input") or a constant ("literal"); compared by identity."""

    op: str
    inputs: tuple["Node", ...] = ()
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    shape: tuple[Any, ...] = ()
    """Dimensions; the number of rows is not an int."""
    dtype: Any = None
    value: Any = None
    """Of a literal, its array; of an input, its name."""


def trace_objective(objective: AbstractObjective) -> Node:
    """The loss of each row as a graph over `ARGUMENTS`.

    Objectives with a state are traced as their bare loss. Everything is double precision; numbers that the objective
    holds as float32 keep their values.

    Raises:
        NotImplementedError: it uses an operation that has no place in such a graph.
    """
    with jax.enable_x64(True):
        (rows,) = export.symbolic_shape("rows", constraints=("rows >= 2",))
        vector, scalar = jax.ShapeDtypeStruct((rows,), jnp.float64), jax.ShapeDtypeStruct((), jnp.float64)
        shapes = [scalar if name == "progress" else vector for name in ARGUMENTS]

        double = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, objective)

        def loss(*values: Any) -> Any:
            *pair, progress, margin = values
            return double(PairLogProbs(*pair, margin=margin), progress)

        closed = jax.make_jaxpr(loss)(*shapes)
        graph = _Graph()
        inputs = [
            graph.node(Node("input", shape=struct.shape, dtype=struct.dtype, value=name))
            for name, struct in zip(ARGUMENTS, shapes, strict=True)
        ]
        (out,) = graph.evaluate(closed.jaxpr, [graph.literal(value) for value in closed.consts], inputs)
    return out


def arguments_of(out: Node) -> frozenset[str]:
    """The arguments that a graph's output depends on."""
    stack, seen, found = [out], {id(out)}, set()
    while stack:
        node = stack.pop()
        if node.op == "input":
            found.add(node.value)
        for one in node.inputs:
            if id(one) not in seen:
                seen.add(id(one))
                stack.append(one)
    return frozenset(found)


class _Graph:
    """Builds nodes, one for all operations that are the same."""

    def __init__(self):
        self._known: dict[Any, Node] = {}

    def node(self, made: Node) -> Node:
        """The node itself, or one like it that is there already."""
        value = made.value if made.op != "literal" else (made.value.tobytes(), made.shape, str(made.dtype))
        params = str({name: one for name, one in made.params.items() if name not in SILENT})
        key = (made.op, tuple(id(one) for one in made.inputs), params, made.shape, value)
        return self._known.setdefault(key, made)

    def literal(self, value: Any) -> Node:
        """A constant."""
        array = np.asarray(value)
        return self.node(Node("literal", shape=array.shape, dtype=array.dtype, value=array))

    def evaluate(self, jaxpr: core.Jaxpr, consts: list[Node], inputs: list[Node]) -> list[Node]:
        """The results of a traced function on nodes."""
        known: dict[core.Var, Node] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

        def read(atom: Any) -> Node:
            return self.literal(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            given = [read(atom) for atom in equation.invars]
            known.update(zip(equation.outvars, self._apply(equation, given), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _apply(self, equation: core.JaxprEqn, inputs: list[Node]) -> list[Node]:
        name, params = equation.primitive.name, equation.params
        if name in ("jit", "pjit", "closed_call"):
            inner = params["jaxpr"]
            return self.evaluate(inner.jaxpr, [self.literal(value) for value in inner.consts], inputs)
        if name == "custom_jvp_call":
            return [self._custom(params, equation, inputs)]
        if name == "convert_element_type" and _is_float(inputs[0].dtype) and _is_float(params["new_dtype"]):
            (one,) = inputs
            return [self.literal(one.value.astype(params["new_dtype"]))] if one.op == "literal" else inputs
        simpler = self._folded(equation, inputs) or _simpler(name, inputs)
        if simpler is not None:
            return simpler
        several = len(equation.outvars) > 1
        avals: list[Any] = [out.aval for out in equation.outvars]
        return [
            self.node(
                Node(name, tuple(inputs), params | {"output": place} if several else params, aval.shape, aval.dtype)
            )
            for place, aval in enumerate(avals)
        ]

    def _custom(self, params: dict[str, Any], equation: core.JaxprEqn, inputs: list[Node]) -> Node:
        name = params.get("name") or params["call_jaxpr"].jaxpr.debug_info.func_name
        if name not in NAMED:
            raise NotImplementedError(f"no export for a function with its own derivative: {name}")
        aval: Any = equation.outvars[0].aval
        return self.node(Node(name, tuple(inputs), {}, aval.shape, aval.dtype))

    def _folded(self, equation: core.JaxprEqn, inputs: list[Node]) -> list[Node] | None:
        """The results where all inputs are constants."""
        avals: list[Any] = [out.aval for out in equation.outvars]
        if not inputs or any(one.op != "literal" for one in inputs):
            return None
        if any(not isinstance(size, int) for aval in avals for size in aval.shape):
            return None
        found = equation.primitive.bind(*(jnp.asarray(one.value) for one in inputs), **equation.params)
        return [self.literal(value) for value in (found if equation.primitive.multiple_results else [found])]


def _simpler(name: str, inputs: list[Node]) -> list[Node] | None:
    """What an operation with a constant comes to: the branch that it selects, or the other operand where it is idle."""
    if name == "select_n" and _number(inputs[0]) is not None:
        return [inputs[1 + int(_number(inputs[0]))]]
    if name in IDLE and _number(inputs[1]) == IDLE[name]:
        return [inputs[0]]
    return [inputs[1]] if name in ("add", "mul") and _number(inputs[0]) == IDLE[name] else None


def _number(node: Node) -> Any:
    """The value of a constant without axes, or of one that was given axes; None of anything else."""
    if node.op == "broadcast_in_dim":
        return _number(node.inputs[0])
    return node.value.item() if node.op == "literal" and not node.shape else None


def _is_float(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating)
