"""The exported torch loss on what a trainer gives it: rows, half precision, progress that moves under torch.compile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.torch.module import ROW_ARGUMENTS, torch_module
from mpo_core.losses.catalogue import make_objective, objective_ids
from mpo_core.objective.interface import AbstractObjective
from mpo_core.objective.pair_log_probs import PairLogProbs

torch = pytest.importorskip("torch")  # an optional extra: .ci/run installs it
COMPILED_AT_MOST = 2
"""Once for the first number that stands for progress, once for any number."""


@pytest.fixture(scope="module")
def exported():
    """The exported loss of an objective, by id."""
    known: dict = {}

    def loss(id):
        if id not in known:
            known[id] = {}
            exec(torch_module(make_objective(id), title=id, provenance={}), known[id])
        return known[id]["loss"]

    return loss


def rows(count=3, dtype="float32"):
    values = {
        "logp_chosen": [-8.0, -90.0, -7.0], "logp_rejected": [-12.0, -70.0, -7.5], "ref_chosen": [-9.0, -80.0, -7.0],
        "ref_rejected": [-11.0, -80.0, -7.0], "chosen_length": [8.0, 30.0, 7.0], "rejected_length": [16.0, 20.0, 7.0],
        "margin": [1.5, -0.5, 0.0],
    }  # fmt: skip
    return {name: torch.tensor(value[:count], dtype=getattr(torch, dtype)) for name, value in values.items()}


@pytest.mark.parametrize("name", ROW_ARGUMENTS)
def test_shapes_that_differ_are_refused_by_name(exported, name):
    given = rows()
    for changed, shape in (
        (given[name][:, None], r"\(3, 1\)"),
        (given[name][:1], r"\(1,\)"),
        (given[name][0], r"\(\)"),
    ):
        with pytest.raises(ValueError, match=rf"one number a row in every argument.* {name} {shape}"):
            exported("dpo")(**given | {name: changed}, progress=0.5)
    with pytest.raises(ValueError, match=rf"{name} \(3, 1\)"):
        exported("dpo")(**{one: value[:, None] for one, value in given.items()}, progress=0.5)
    with pytest.raises(ValueError, match=rf"{name} \(\)"):
        exported("dpo")(**given | {name: 0.0}, progress=0.5)


def test_rows_of_no_tokens_count_as_one_token(exported):
    for id in ("simpo", "orpo", "ipo_mean", "r_dpo"):
        given = rows() | {"chosen_length": torch.zeros(3), "logp_chosen": torch.zeros(3)}
        one = exported(id)(**given | {"chosen_length": torch.ones(3)}, progress=0.5)
        assert torch.equal(exported(id)(**given, progress=0.5), one)
        assert torch.isfinite(one).all()


class OfConditions(AbstractObjective):
    """An own loss whose condition has several parts."""

    def __call__(self, pair, progress):
        likely = (pair.chosen > -8.5) & (pair.rejected > pair.chosen - 1.0)
        other = ~(pair.chosen > -80.0) | (pair.margin < 0.0) & (progress > 0.1)
        other = other | ((pair.ref_chosen > -50.0) == (pair.ref_rejected > -50.0)) & (pair.margin > 1.0)
        return jnp.where(likely | other, -pair.chosen, pair.rejected)


class OfSines(AbstractObjective):
    def __call__(self, pair, progress):
        return jnp.sin(pair.chosen)


def test_conditions_of_several_parts_mean_the_same_in_torch():
    scope: dict = {}
    exec(torch_module(OfConditions(), title="of conditions", provenance={}), scope)
    rng = np.random.default_rng(0)
    given = {name: rng.uniform(-100, 0, 200).astype("float32") for name in ROW_ARGUMENTS}
    given |= {"logp_chosen": rng.uniform(-12, -4, 200).astype("float32"), "margin": rng.normal(size=200) * 1.0}
    found = scope["loss"](**{name: torch.tensor(value) for name, value in given.items()}, progress=0.5)
    expected = OfConditions()(PairLogProbs(*map(jnp.asarray, given.values())), 0.5)
    np.testing.assert_array_equal(found, expected)
    assert 20 < int((found > 0).sum()) < 180


class OfLogaddexp(AbstractObjective):
    def __call__(self, pair, progress):
        return jnp.logaddexp(pair.margin, 1.0) + jnp.logaddexp(0.5, pair.margin)


def test_numbers_in_logaddexp_mean_the_same_in_torch():
    scope: dict = {}
    exec(torch_module(OfLogaddexp(), title="of logaddexp", provenance={}), scope)
    given = rows()
    pair = PairLogProbs(*(jnp.asarray(value.numpy()) for value in given.values()))
    np.testing.assert_allclose(scope["loss"](**given, progress=0.5), OfLogaddexp()(pair, 0.5), rtol=1e-6)


def test_an_operation_that_torch_has_no_form_of_is_refused():
    with pytest.raises(ValueError, match="cannot be written for torch: no torch form of the operation sin"):
        torch_module(OfSines(), title="of sines", provenance={})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("id", objective_ids())
def test_half_precision_is_computed_in_single(exported, id, dtype):
    given = rows(dtype=dtype)
    given |= {"logp_chosen": torch.tensor([-8.0, -8.0, -7.0], dtype=given["logp_chosen"].dtype)}
    given |= {"logp_rejected": torch.tensor([0.0, -12.0, -7.5], dtype=given["logp_chosen"].dtype)}
    for name in ("logp_chosen", "logp_rejected"):
        given[name].requires_grad_()
    losses = exported(id)(**given, progress=0.5)
    single = exported(id)(**{name: value.detach().float() for name, value in given.items()}, progress=0.5)
    assert losses.dtype == torch.float32
    assert torch.equal(losses.detach(), single)
    losses.sum().backward()
    for name in ("logp_chosen", "logp_rejected"):
        gradient = given[name].grad
        assert gradient is None or (gradient.dtype == getattr(torch, dtype) and torch.isfinite(gradient).all())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_orpo_in_half_precision_is_finite_and_as_in_jax(exported, dtype):
    def pair(chosen, rejected):
        zeros = jnp.zeros(1, dtype)
        return PairLogProbs(chosen, rejected, zeros, zeros, jnp.array([8.0], dtype), jnp.array([16.0], dtype), zeros)

    loss = make_objective("orpo")
    sides = jnp.array([-8.0], dtype), jnp.array([0.0], dtype)
    gradients = jax.grad(lambda *both: loss(pair(*both), 0.5).sum(), (0, 1))(*sides)
    given = {name: value[:1] for name, value in rows(dtype=dtype).items()}
    given["logp_chosen"], given["logp_rejected"] = (
        torch.tensor([value], dtype=getattr(torch, dtype), requires_grad=True) for value in (-8.0, 0.0)
    )
    losses = exported("orpo")(**given, progress=0.5)
    losses.sum().backward()
    np.testing.assert_allclose(losses.item(), loss(pair(*sides), 0.5)[0], rtol=1e-6)
    for name, mine in zip(("logp_chosen", "logp_rejected"), gradients, strict=True):
        assert mine.dtype == dtype
        assert np.isfinite(mine).all()
        np.testing.assert_allclose(given[name].grad.float(), mine.astype("float32"), rtol=1e-2)


@pytest.mark.parametrize("fullgraph", [False, True])
@pytest.mark.parametrize("id", ["tempo", "dpo_shift", "orpo"])
def test_progress_as_a_float_is_compiled_once_for_all_steps(exported, id, fullgraph):
    counters = torch._dynamo.utils.counters
    torch._dynamo.reset()
    counters.clear()
    compiled = torch.compile(exported(id), backend="eager", fullgraph=fullgraph)
    for step in range(12):
        progress = step / 12
        assert torch.equal(compiled(**rows(), progress=progress), exported(id)(**rows(), progress=progress))
    assert counters["stats"]["unique_graphs"] <= COMPILED_AT_MOST
    assert not counters["graph_break"]


def test_progress_may_be_a_tensor_of_any_precision(exported):
    expected = exported("tempo")(**rows(), progress=0.25)
    for dtype in (torch.float32, torch.float64, torch.float16):
        found = exported("tempo")(**rows(), progress=torch.tensor(0.25, dtype=dtype))
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)
