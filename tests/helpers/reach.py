"""The worked example's task with agents made by hand."""

import pytest

from helpers.toy_run import EXAMPLE, save_toy_agents
from mpo_experiments.tasks import registry


@pytest.fixture(scope="module")
def reach(tmp_path_factory):
    """The task `reach` with agents, known for the length of this module."""
    folder = tmp_path_factory.mktemp("agents")
    save_toy_agents(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        patch.setenv("MPO_AGENTS_DIR", str(folder))
        from mpo_reach.task import TASK

        patch.setitem(registry.TASKS, TASK.name, TASK)
        yield
