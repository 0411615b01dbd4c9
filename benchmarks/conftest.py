"""What several files share. Run: python -m pytest benchmarks -s --benchmark-only (MPO_BENCH=tiny tries the code)."""

import benchmarks  # isort: skip  # sets devices and compilation cache before anything starts JAX

import pytest

from benchmarks.sizes import Bench, quick_bench

assert benchmarks


@pytest.fixture(scope="session")
def bench() -> Bench:
    """The quick preset."""
    return quick_bench()
