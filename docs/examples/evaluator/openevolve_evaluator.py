"""The evaluator of OpenEvolve: `openevolve-run loss.py openevolve_evaluator.py --config config.yaml`.

OpenEvolve calls `evaluate(program_path)` and climbs `combined_score`. Where OpenEvolve is installed, what went wrong
goes to the language model as an artifact.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from scoring import evaluation, feedback, metrics


def evaluate(program_path):
    """The metrics of one program."""
    found = evaluation(program_path)
    try:
        from openevolve.evaluation_result import EvaluationResult
    except ImportError:
        return metrics(found)
    return EvaluationResult(metrics=metrics(found), artifacts={"mpo": feedback(found)})
