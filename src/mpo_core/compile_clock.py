"""How long this process has compiled, as JAX itself reports it: from its first import of this file on."""

import jax

COMPILING = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")
"""Events of JAX; the second is also sent where a program comes from the compilation cache."""
_seconds = {"compiling": 0.0}


def compile_seconds() -> float:
    """Seconds of lowering and compiling so far, all threads together."""
    return _seconds["compiling"]


def _listen(event: str, duration_secs: float, **_: str | int) -> None:
    if event in COMPILING:
        _seconds["compiling"] += duration_secs


jax.monitoring.register_event_duration_secs_listener(_listen)
