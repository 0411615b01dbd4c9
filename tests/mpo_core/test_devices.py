"""How many episodes a block of rollouts has."""

from types import SimpleNamespace

import pytest

from mpo_core import memory
from mpo_core.devices import CPU_ENVS, accelerator_envs, block_envs, population_mesh
from mpo_core.memory import recorded_episode_bytes

EACH = recorded_episode_bytes(25, 50)


def test_cpus_take_what_suits_their_caches():
    assert block_envs(population_mesh(2), EACH) == 2 * CPU_ENVS


@pytest.mark.parametrize(
    ("processors", "envs"), [(132, 4096), (108, 4096), (256, 8192), (16, 512), (None, 1024), ("unknown", 1024)]
)
def test_the_block_grows_with_the_device(monkeypatch, processors, envs):
    monkeypatch.setattr(memory, "_limit_bytes", lambda: 80 * 10**9)
    device = SimpleNamespace(**({} if processors == "unknown" else {"core_count": processors}))
    assert accelerator_envs(device, EACH) == envs


def test_memory_caps_it(monkeypatch):
    monkeypatch.setattr(memory, "_limit_bytes", lambda: 10**9)
    assert accelerator_envs(SimpleNamespace(core_count=132), 10**6) == int(memory.FILLED * 10**9 / 4) // 10**6
