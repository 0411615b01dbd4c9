"""What a search of the paper's size needs in memory, from its compiled program; nothing is run.

Run: python -m benchmarks.paper_memory [TASK] [--preset paper] [--at-once N]
"""

import argparse
import json

from cli.environment import prepare

prepare()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from mpo_core.data.pair_bank import bank_shapes  # noqa: E402
from mpo_core.settings import RowSettings  # noqa: E402
from mpo_experiments.search.build import build_search, learned_parts  # noqa: E402
from mpo_experiments.search.cells import SearchCell  # noqa: E402
from mpo_experiments.settings.run_config import build_single_run  # noqa: E402
from mpo_experiments.testbed import Testbed  # noqa: E402

GIB = 2**30


def memory(task: str, preset: str, at_once: int) -> dict[str, float | int | str]:
    """Gibibytes of a generation's program, on each device and on all of this machine."""
    config = build_single_run({"task": task, "preset": preset, "search": {"members_at_once": at_once}})
    testbed = Testbed(task)
    program = build_search(
        config,
        [SearchCell(config.cells()[0], testbed)],
        learned_parts(config, [SearchCell(config.cells()[0], testbed)]),
    )
    bank = bank_shapes(testbed.task, RowSettings(config.search.bank_pairs, config.rows.length))
    compiled = program.step.lower(program.start(), program.place(jnp.int32(0)), (bank,)).compile()
    found = compiled.memory_analysis()
    assert found is not None, "this back end gives no account of memory"
    each = {
        "bank": found.argument_size_in_bytes / GIB, "temporaries": found.temp_size_in_bytes / GIB,
        "constants and results": (found.output_size_in_bytes + found.generated_code_size_in_bytes) / GIB,
    }  # fmt: skip
    return {
        "task": task, "preset": preset, "jobs": program.jobs, "devices": jax.local_device_count(),
        **{name: round(value, 3) for name, value in each.items()},
        "whole machine": round(jax.local_device_count() * sum(each.values()), 3),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", nargs="?", default="halfcheetah")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--at-once", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(memory(given.task, given.preset, given.at_once), indent=2))
