"""Exports against the objectives themselves: same values, same gradients, with torch alone."""

import subprocess
import sys

import equinox as eqx
import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.storage.objective_files import save_objective
from adapters.torch.module import torch_module
from cli.app import app
from helpers.objectives import export, learned_start
from helpers.torch_agreement import LIMITS, ROWS, assert_agree, inputs, ours, theirs
from mpo_core.losses.catalogue import make_objective, objective_ids
from mpo_core.losses.members import as_mirror
from mpo_core.mirror.learned import learned_mirror, split_learned
from mpo_experiments.objectives.named import bundled_names

torch = pytest.importorskip("torch")  # an optional extra: .ci/run installs it


@pytest.mark.parametrize("id", [*objective_ids(), *bundled_names()])
def test_torch_agrees_with_every_objective(id):
    source = export(id, "torch")
    with jax.enable_x64(True):
        assert_agree(make_objective(id), source, "float64", LIMITS["float64"])
    assert_agree(make_objective(id), source, "float32", LIMITS["float32"])


@pytest.mark.parametrize(("init", "temporal"), [("tempo", True), ("orpo", False), ("dpo", True)])
def test_torch_agrees_with_learned_members(init, temporal):
    learned, common = split_learned(learned_mirror(as_mirror(init), temporal=temporal))
    leaves, structure = jax.tree.flatten(learned)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    objective = jax.tree.unflatten(structure, moved)
    whole = eqx.combine(objective, common)
    source = torch_module(whole, title="learned", provenance={})
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: leaf.astype("float64") if eqx.is_inexact_array(leaf) else leaf, whole)
        assert_agree(double, source, "float64", LIMITS["float64"])
    assert_agree(whole, source, "float32", LIMITS["float32"])


@pytest.mark.parametrize(
    ("objective", "says"),
    [("discovered/halfcheetah-mixed75-temporal", "of -3.01, wanted ones -4.11. For a model"), ("orpo:lam=0.5", "")],
)
def test_an_export_says_where_a_learned_loss_bends(objective, says, tmp_path):
    found = CliRunner().invoke(app, ["export", objective, "--out", str(tmp_path / "loss.py")])
    assert found.exit_code == 0, found.output
    assert says in found.stderr
    assert bool(found.stderr) == bool(says)


def test_a_missing_margin_is_zero():
    scope: dict = {}
    exec(export("mmpo", "torch"), scope)
    tensors = [torch.tensor(value) for value in inputs(10.0)[:6]]
    assert torch.equal(scope["loss"](*tensors, 0.2), scope["loss"](*tensors, 0.2, torch.zeros(ROWS)))


def test_a_module_needs_neither_mpo_nor_jax(tmp_path):
    (tmp_path / "exported.py").write_text(export("orpo:lam=0.5", "torch"))
    (tmp_path / "use.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('jax', 'jaxlib', 'mpo_core', 'adapters', 'cli', 'equinox'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import torch\n"
        "from exported import PROVENANCE, loss\n"
        "x = torch.tensor([-8.0, -9.0])\n"
        "print(PROVENANCE['objective'], tuple(loss(x, x - 2, x, x, x * 0 + 8, x * 0 + 9, 0.5).shape))\n"
    )
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "orpo:lam=0.5 (2,)", done.stderr


def test_an_objective_file_is_exported_with_its_provenance(tmp_path):
    objective = learned_start("tempo", True)
    save_objective(tmp_path, objective, init="tempo", temporal=True, provenance={"task": "toy"})
    scope: dict = {}
    exec(export(str(tmp_path), "torch"), scope)
    assert scope["PROVENANCE"]["provenance"] == {"task": "toy"}
    values = [value.astype("float32") for value in inputs(10.0)]
    np.testing.assert_allclose(
        theirs(export(str(tmp_path), "torch"), values, 0.4, "float32")[0], ours(objective, values, 0.4)[0], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nosuch",), "unknown objective 'nosuch'"),
        (("dpo:beat=1",), "did you mean 'beta'?"),
        (("dpo", "--format", "torhc"), "did you mean 'torch'?"),
        (("missing.json",), "cannot be read"),
        (("runs/halfcheetah-mixed0.75-typed-wrong",), "runs/halfcheetah-mixed0.75-typed-wrong/objective.json: cannot"),
        (("dpo", "--out", "."), "is a folder"),
    ],
)
def test_mistakes_are_refused(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["export", *arguments])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_file_or_prints(tmp_path):
    path = tmp_path / "dpo.py"
    assert CliRunner().invoke(app, ["export", "dpo", "--out", str(path)]).exit_code == 0
    assert path.read_text() == CliRunner().invoke(app, ["export", "dpo"]).stdout == export("dpo", "torch")
