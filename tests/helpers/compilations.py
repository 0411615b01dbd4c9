"""How often JAX compiled a function: its own caches forget the oldest programs of a long test process."""

import contextlib
from collections.abc import Iterator

from jax import monitoring

_COMPILED: list[str] = []


def _listen(event: str, duration: float, **details: str | int) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _COMPILED.append(str(details.get("fun_name")))


monitoring.register_event_duration_secs_listener(_listen)


@contextlib.contextmanager
def compilations(function: str | None = None) -> Iterator[list[str]]:
    """A list that holds one entry for every compilation of `function` (or of any) in the block, once it is left."""
    first, found = len(_COMPILED), []
    yield found
    found += [name for name in _COMPILED[first:] if function is None or name == f"jit({function})"]
