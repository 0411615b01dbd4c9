"""What is in a preference dataset, as numbers."""

from typing import Any

import numpy as np

from adapters.arena import Arena
from adapters.watch import Watch
from mpo_core.data_spec import DataSpec
from mpo_core.generate_pairs import generate_pairs
from mpo_core.inner_loop import row_log_probs
from mpo_core.pair_bank import label_pairs
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import RowSettings


def describe_rows(arena: Arena, spec: DataSpec, size: RowSettings, seed: int, watch: Watch) -> dict[str, Any]:
    """Rolls out a sample and counts: kinds of rows, labels flipped and wrong, returns, lengths, log-probs."""
    watch.stage("Pairs of trajectories", 2 * size.count * size.length, "step")
    key = stream_key(seed, Stream.SEARCH, 0)
    bank = generate_pairs(arena.program, arena.agents, spec, size, key=key, advance=watch.advance)
    rows = label_pairs(bank, spec, key=stream_key(seed, Stream.SEARCH, 0, Purpose.LABELS))
    return_, source = np.asarray(rows.return_), np.asarray(rows.source)
    steps = np.asarray(rows.alive).sum(-1)
    log_prob = np.asarray(row_log_probs(arena.original, rows) / rows.tokens)
    kinds = np.sort(source, axis=1)
    return {
        "task": arena.name,
        "backend": arena.task.backend,
        "data": str(spec),
        "rows": size.count,
        "length": size.length,
        "tokens_a_step": arena.task.action_size,
        "rows_original_original": int((kinds == (0, 0)).all(1).sum()),
        "rows_original_target": int((kinds == (0, 1)).all(1).sum()),
        "rows_target_target": int((kinds == (1, 1)).all(1).sum()),
        "labels_flipped": float(np.asarray(rows.flipped).mean()),
        "labels_wrong": float((return_[:, 0] < return_[:, 1]).mean()),
        "chosen_from_target": float(source[:, 0].mean()),
        "return_chosen_mean": float(return_[:, 0].mean()),
        "return_rejected_mean": float(return_[:, 1].mean()),
        "return_difference_deviation": float(np.sqrt(np.mean(np.square(return_[:, 0] - return_[:, 1])))),
        "steps_alive_mean": float(steps.mean()),
        "token_log_prob_chosen_original": float(log_prob[:, 0].mean()),
        "token_log_prob_rejected_original": float(log_prob[:, 1].mean()),
        "bin_width": arena.card.bin_width,
    }
