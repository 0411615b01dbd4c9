"""Losses in files: what is taken, and the sentence for what is not."""

import jax.numpy as jnp
import numpy as np
import pytest

from mpo_core.losses.catalogue import make_objective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_experiments.evaluator.loss_file import objective_from_file

NUMBERS = ([-8.0, -3.0], [-12.0, -4.0], [-9.0, -3.5], [-11.0, -4.5], [8.0, 4.0], [16.0, 5.0], [0.5, -0.1])
PAIR = PairLogProbs(*map(np.array, NUMBERS))
FUNCTION = "import jax\ndef loss(pair, progress):\n    return jax.nn.softplus(-2 * (pair.chosen - pair.rejected))\n"
CLASS = """
import jax
from mpo_core import AbstractObjective

class Mine(AbstractObjective):
    beta: float = 2.0

    def __call__(self, pair, progress):
        return jax.nn.softplus(-self.beta * (pair.chosen - pair.rejected))
"""


@pytest.fixture
def loss_file(tmp_path):
    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("text", [FUNCTION, CLASS, f"{CLASS}\nloss = Mine", f"{CLASS}\nloss = Mine(beta=2.0)"])
def test_a_function_a_class_or_an_instance(loss_file, text):
    found = objective_from_file(loss_file(text))(PAIR, jnp.zeros(()))
    np.testing.assert_allclose(found, np.logaddexp(0, -2 * np.array([4.0, 1.0])), rtol=1e-6)


def test_what_mpo_has_can_be_named(loss_file):
    found = objective_from_file(loss_file("from mpo_core import make_objective\nloss = make_objective('dpo')\n"))
    np.testing.assert_allclose(found(PAIR, jnp.zeros(())), make_objective("dpo")(PAIR, jnp.zeros(())))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def loss(pair, progress)\n    return 1", "cannot be imported (expected ':', line 1)"),
        ("import nosuch\n", "cannot be imported (ModuleNotFoundError: No module named 'nosuch', line 1)"),
        ("raise SystemExit(0)\n", "cannot be imported (SystemExit: 0, line 1)"),
        ("beta = 1\n", "has no `loss`: write `def loss(pair, progress):`"),
        ("loss = 3\n", "its `loss` is of type int"),
        ("def loss(pair, progress):\n    return pair.chosen.mean()\n", "the loss has shape () and type float32"),
        ("def loss(pair, progress):\n    return pair.chosen[:2]\n", "the loss has shape (2,)"),
        ("def loss(pair, progress):\n    return pair.chosen > 0\n", "type bool"),
        ("def loss(pair, progress):\n    return None\n", "the loss fails ("),
        ("def loss(pair):\n    return pair.chosen\n", "takes 1 positional argument but 2 were given"),
        ("def loss(pair, progress):\n    return pair.chosn\n", "has no attribute 'chosn', line 2)"),
        ("def loss(pair, progress):\n    return pair.chosen if pair.chosen[0] > 0 else 0\n", "the loss fails (Tracer"),
        (f"{CLASS}\nclass Other(Mine):\n    pass\n", "has no `loss`"),
    ],
)  # fmt: skip
def test_what_is_no_loss_gets_a_sentence(loss_file, text, says):
    with pytest.raises(ValueError, match=r"^loss file mine\.py: ") as caught:
        objective_from_file(loss_file(text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_system_denies_is_no_mistake_of_writing(loss_file):
    with pytest.raises(FileNotFoundError):
        objective_from_file(loss_file("def loss(pair, progress):\n    return float(open('none').read())\n"))
