"""The evaluator of ShinkaEvolve: `python shinka_evaluate.py --program_path loss.py --results_dir results`.

ShinkaEvolve reads `metrics.json` (it climbs `combined_score`; `text_feedback` goes to the language model) and
`correct.json` from the results folder.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from scoring import evaluation, feedback, metrics


def main(program_path, results_dir):
    """Writes both files."""
    found, folder = evaluation(program_path), Path(results_dir)
    values = metrics(found)
    score = values.pop("combined_score")
    told = {"combined_score": score, "public": values, "private": {}, "text_feedback": feedback(found)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(told, indent=2))
    (folder / "correct.json").write_text(json.dumps({"correct": "error" not in found, "error": found.get("error")}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program_path", default="loss.py")
    parser.add_argument("--results_dir", default="results")
    given = parser.parse_args()
    main(given.program_path, given.results_dir)
