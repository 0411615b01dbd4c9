"""The agents of a task: in a folder of one's own, with a task's package, or bundled."""

import os
from collections.abc import Iterable
from pathlib import Path

from adapters.storage.agent_files import CARD_FILE, AgentsCard, read_agents, read_agents_card
from mpo_core.data.specification import parse_data_spec
from mpo_core.policies.policy import AbstractPolicy
from mpo_experiments.tasks.registry import PAIR_MARK, SEED, TaskSpec, task_spec

BUNDLED = Path(__file__).parent.parent / "bundled" / "agents"
AGENTS_DIR_VARIABLE = "MPO_AGENTS_DIR"


def load_agents(task: str) -> tuple[AbstractPolicy, ...]:
    """The original, the target and, where there is one, the other agent of a task, of one structure for stacking.

    Raises:
        ValueError: no such task, no agents for it, or agents that cannot be read or do not belong together.
    """
    return read_agents(agents_folder(task), load_card(task))


def check_agents(task: str, data: Iterable[str]) -> None:
    """Refuses a task whose agents cannot make these kinds of data.

    Args:
        data: data specifications.

    Raises:
        ValueError: as `load_agents`, or a kind of data asks for an `other` agent and the task has none.
    """
    load_agents(task)
    roles = load_card(task).roles
    for text in data:
        if any(role not in roles for role in parse_data_spec(text).roles):
            raise ValueError(no_other_agent(text, task))


def no_other_agent(data: str, task: str) -> str:
    """The sentence for data that ask for an `other` agent of a task that has none."""
    return (
        f"data '{data}' need an `other` agent, and task {task!r} has none: "
        f"train one with `mpo agents train --task {task} --role other`"
    )


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
    for root in _roots(spec):
        if (root / spec.name / CARD_FILE).is_file():
            return root / spec.name
    raise ValueError(
        f"there are no agents for task '{spec.name}': train them with `mpo agents train --task {spec.name}`"
    )


def other_pairs(task: str) -> list[str]:
    """The names under which there are more pairs of agents of a task (`ant@1`), by their seeds."""
    spec = task_spec(task)
    folders = {card.parent.name for root in _roots(spec) for card in root.glob(f"{spec.name}{PAIR_MARK}*/{CARD_FILE}")}
    seeds = [seed for name in folders if SEED.fullmatch(seed := name.partition(PAIR_MARK)[2])]
    return [f"{spec.name}{PAIR_MARK}{seed}" for seed in sorted(seeds, key=int)]


def _roots(spec: TaskSpec) -> list[Path]:
    """Folders that may hold a task's agents, the first of which that does is used."""
    own = os.environ.get(AGENTS_DIR_VARIABLE)
    return [root for root in (Path(own) if own else None, spec.agents_root, BUNDLED) if root is not None]
