"""The agents of a task: in a folder of one's own, with a task's package, or bundled."""

import os
from pathlib import Path

from adapters.storage.agent_files import CARD_FILE, AgentsCard, read_agents, read_agents_card
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_experiments.tasks.registry import task_spec

BUNDLED = Path(__file__).parent.parent / "bundled" / "agents"
AGENTS_DIR_VARIABLE = "MPO_AGENTS_DIR"


def load_agents(task: str) -> tuple[GaussianPolicy, GaussianPolicy]:
    """The original and the target agent of a task, of one structure, so that they can be stacked.

    Raises:
        ValueError: no such task, no agents for it, or agents that cannot be read or do not belong together.
    """
    return read_agents(agents_folder(task), load_card(task))


def load_card(task: str) -> AgentsCard:
    """The card of a task's agents.

    Raises:
        ValueError: no such task, no agents for it, or a card that cannot be read.
    """
    return read_agents_card(agents_folder(task), task)


def agents_folder(task: str) -> Path:
    """Where a task's agents are: in the folder that `MPO_AGENTS_DIR` names, if they are there, or in the package.

    Raises:
        ValueError: no such task, or no agents for it.
    """
    spec = task_spec(task)
    name, own = spec.name, os.environ.get(AGENTS_DIR_VARIABLE)
    for root in (Path(own) if own else None, spec.agents_root, BUNDLED):
        if root is not None and (root / name / CARD_FILE).is_file():
            return root / name
    raise ValueError(f"there are no agents for task '{name}': train them with `mpo agents train --task {name}`")
