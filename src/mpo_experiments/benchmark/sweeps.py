"""Cells that differ in one number alone: the width of a token, the number of pairs, or the number of a data fault."""

import dataclasses
from collections.abc import Callable

from mpo_core.data.fault import NumberFault
from mpo_core.data.specification import parse_data_spec
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey

FEWEST_SHARES = 3
"""Values of a fault's number that make a sweep: two kinds of data are a comparison of kinds."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Cells by the number that was varied, ascending; all values have cells of the same tasks and data otherwise."""

    name: str
    label: str
    log: bool
    cells: dict[float, list[BenchmarkCell]]


def by_size(cells: list[BenchmarkCell]) -> dict[str, list[BenchmarkCell]]:
    """Cells of one token width and number of pairs together, in ascending order, under a name for files."""
    sizes = sorted({(cell.bin_width, cell.rows or 0) for cell in cells})
    return {
        f"w{width:g}" + (f"-r{rows}" if rows else ""): [
            cell for cell in cells if (cell.bin_width, cell.rows or 0) == (width, rows)
        ]
        for width, rows in sizes
    }


def sweeps(cells: list[BenchmarkCell]) -> list[Sweep]:
    """What was varied over these cells, each by itself."""
    counted = [cell for cell in cells if cell.rows is not None]
    found = [
        _sweep(cells, "bin-width", "bin width, action units", lambda key: (key.bin_width, _without(key, "bin_width"))),
        _sweep(counted, "pairs", "pairs a unit", lambda key: (float(key.rows or 0), _without(key, "rows"))),
    ]
    faults = {type(fault) for cell in cells for fault in parse_data_spec(cell.data).faults}
    for fault in sorted((kind for kind in faults if issubclass(kind, NumberFault)), key=lambda kind: kind.name):
        label = f"{fault.form}, {fault.what}"
        found.append(_sweep(cells, fault.name, label, _split_by(fault), fewest=FEWEST_SHARES, log=False))
    return [sweep for sweep in found if sweep is not None]


def _without(key: CellKey, name: str) -> CellKey:
    return dataclasses.replace(key, **{name: CellKey.__dataclass_fields__[name].default})


def _split_by(fault: type[NumberFault]) -> Callable[[CellKey], tuple[float, CellKey]]:
    """The number of a fault, 0 where the data are without it, and the cell without the fault."""

    def split(key: CellKey) -> tuple[float, CellKey]:
        spec = parse_data_spec(key.data)
        held = spec.find(fault)
        return held.value if held else 0.0, dataclasses.replace(key, data=str(spec.without(fault)))

    return split


def _sweep(
    cells: list[BenchmarkCell],
    name: str,
    label: str,
    split: Callable[[CellKey], tuple[float, CellKey]],
    *,
    fewest: int = 2,
    log: bool = True,
) -> Sweep | None:
    """The cells by the number, of those that are alike otherwise; None if nothing was varied.

    The values are the most that cells alike otherwise have; cells that lack one of these are left out.
    """
    by_rest: dict[CellKey, dict[float, BenchmarkCell]] = {}
    for cell in cells:
        value, rest = split(cell.key)
        by_rest.setdefault(rest, {})[value] = cell
    values = max(by_rest.values(), key=len, default={}).keys()
    if len(values) < fewest:
        return None
    whole = [found for found in by_rest.values() if values <= found.keys()]
    return Sweep(name, label, log, {value: [found[value] for found in whole] for value in sorted(values)})
