"""A loss from a Python file: the function `loss(pair, progress)`, or an `AbstractObjective`."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs

MODULE = "evaluated_loss"
NAME = "loss"
ROWS = 3
"""Of the pair that a loss is tried on."""
WANTED = (
    "write `def loss(pair, progress):` that returns one number a row, or an AbstractObjective (class or instance) "
    "named `loss`"
)


class WrongShape(ValueError):
    """A loss that is not one number a row."""


class FunctionLoss(AbstractObjective):
    """A plain function of `PairLogProbs` and progress as an objective."""

    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row.

        Raises:
            WrongShape: the function gives something else.
        """
        found = jnp.asarray(self.function(pair, progress))
        _check_shape(found, len(pair.chosen))
        return found


def objective_from_file(path: Path) -> AbstractObjective:
    """The loss in a file, tried on a pair of three rows for its shape and its gradient. Runs the file.

    Raises:
        ValueError: one sentence: the file cannot be imported, has no loss, or a loss of another shape.
        OSError: the file, or its loss, asked the system for something that is not there.
        MemoryError: or for more memory than there is.
    """
    objective = _objective(_module(path), path)
    _try(objective, path)
    return objective


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except (OSError, MemoryError):
        raise
    except SyntaxError as error:
        raise ValueError(f"loss file {path.name}: cannot be imported ({error.msg}, line {error.lineno})") from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"loss file {path.name}: cannot be imported ({told(error, path)})") from None
    return module


def _objective(module: ModuleType, path: Path) -> AbstractObjective:
    found = getattr(module, NAME, None)
    if found is None:
        own = [value for value in vars(module).values() if _is_class(value) and value.__module__ == MODULE]
        if len(own) != 1:
            raise ValueError(f"loss file {path.name}: has no `{NAME}`: {WANTED}")
        found = own[0]
    if isinstance(found, AbstractObjective):
        return found
    if _is_class(found):
        try:
            return found()
        except Exception as error:
            raise ValueError(
                f"loss file {path.name}: {found.__name__}() cannot be made ({told(error, path)})"
            ) from None
    if not callable(found):
        raise ValueError(f"loss file {path.name}: its `{NAME}` is of type {type(found).__name__}: {WANTED}")
    return FunctionLoss(found)


def _is_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, AbstractObjective) and not inspect.isabstract(value)


def _try(objective: AbstractObjective, path: Path) -> None:
    """Traces the loss and its gradient.

    Raises:
        ValueError: it raises something, or does not give a number a row.
    """
    numbers = -jnp.arange(1.0, ROWS + 1)
    pair = PairLogProbs(
        numbers, 2 * numbers, numbers, numbers, -numbers, -numbers, jnp.zeros(ROWS), jnp.zeros(ROWS, int)
    )

    def mean(pair: PairLogProbs) -> Array:
        return objective(pair, jnp.zeros(())).mean()

    try:
        shape = eqx.filter_eval_shape(objective, pair, jnp.zeros(()))
        _check_shape(shape, ROWS)
        eqx.filter_eval_shape(eqx.filter_grad(mean), pair)
    except (OSError, MemoryError):
        raise
    except WrongShape as error:
        raise ValueError(f"loss file {path.name}: {error}") from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"loss file {path.name}: the loss fails ({told(error, path)})") from None


def _check_shape(found: Array | jax.ShapeDtypeStruct, rows: int) -> None:
    if found.shape != (rows,) or not jnp.issubdtype(found.dtype, jnp.floating):
        raise WrongShape(
            f"for a pair of {rows} rows the loss has shape {found.shape} and type {found.dtype}, wanted are ({rows},) "
            "and a float type: one number a row, not their mean"
        )


def told(error: BaseException, path: Path) -> str:
    """An exception in a few words, with the line of the file that it came from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    said = " ".join(str(error).split())
    shown = f"{type(error).__name__}: {said[:200]}".rstrip(": ")
    return f"{shown}, line {lines[-1]}" if lines else shown
