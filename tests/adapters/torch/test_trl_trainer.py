"""Our trainer against TRL's own, on the same batches of a tiny model."""

import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from trl.trainer.dpo_trainer import DPOTrainer

from adapters.torch.trl_trainer import LossTrainer
from helpers.objectives import torch_loss
from helpers.toy_language import toy_arguments, toy_model, toy_pairs, toy_tokenizer
from mpo_core.failures import WorkFailed
from mpo_core.losses.catalogue import make_objective, objective_ids
from mpo_core.objective.interface import AbstractStatefulObjective
from mpo_experiments.align.trainer import ObjectiveTrainer

SAME = {
    "sigmoid": ("dpo:beta=0.3", {}),
    "hinge": ("hinge:beta=0.3", {}),
    "ipo": ("ipo_mean:tau=0.3", {}),
    "exo_pair": ("exo_pair:beta=0.3,epsilon=0.001", {"label_smoothing": 1e-3}),
    "robust": ("robust_dpo:beta=0.3,epsilon=0.1", {"label_smoothing": 0.1}),
    "nca_pair": ("nca_pair:beta=0.3", {}),
    "bco_pair": ("bco_pair:beta=0.3", {}),
    "sppo_hard": ("sppo_hard:beta=0.3", {}),
    "aot": ("aot:beta=0.3", {}),
    "aot_unpaired": ("aot_unpaired:beta=0.3", {}),
    "apo_zero": ("apo_zero:beta=0.3", {}),
    "apo_down": ("apo_down:beta=0.3", {}),
    "discopop": ("discopop:beta=0.3,temperature=0.05", {}),
    "sigmoid_norm": ("dpo_norm:beta=0.3", {}),
}
"""TRL's names of losses, the objective that is the same function, and what else TRL's needs."""


@pytest.fixture(autouse=True)
def one_thread():
    """These models are too small to share among threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trainer")


def made(folder, objective, *, pairs=None, model=None, reference=True, lora=None, **settings):
    """A trainer of ours, or with a loss of TRL's for `trl:NAME`."""
    given = {
        "model": toy_model() if model is None else model,
        "ref_model": toy_model(seed=1) if reference else None,
        "args": toy_arguments(folder, **settings),
        "train_dataset": toy_pairs(8) if pairs is None else pairs,
        "processing_class": toy_tokenizer(),
        "peft_config": lora,
    }
    return DPOTrainer(**given) if objective is None else ObjectiveTrainer(objective=objective, **given)


def first_batch(trainer):
    return next(iter(trainer.get_train_dataloader()))


def loss_and_gradient(trainer, batch):
    """The loss of a batch and its gradient in the head."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    return loss.detach(), trainer.model.lm_head.weight.grad.clone()


def adapter(trainer):
    return {name: one.detach().clone() for name, one in trainer.model.named_parameters() if one.requires_grad}


@pytest.fixture(scope="module")
def trls(folder):
    return made(folder, None)


@pytest.mark.parametrize("name", SAME)
def test_losses_of_trl_equal_ours(folder, trls, name):
    objective, settings = SAME[name]
    ours = made(folder, objective)
    trls.loss_types, trls.loss_weights, trls.beta = [name], [1.0], 0.3
    trls.label_smoothing = settings.get("label_smoothing", 0.0)
    batch = first_batch(trls)
    (theirs, their_gradient), (loss, gradient) = loss_and_gradient(trls, batch), loss_and_gradient(ours, batch)
    torch.testing.assert_close(loss, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, their_gradient, rtol=1e-4, atol=1e-6)


def test_sft_of_trl_is_a_mean_over_tokens_and_ours_over_rows(folder, trls):
    """One of the differences that docs/llm.md lists: equal where all responses are as long."""
    pairs = toy_pairs(4)
    same = pairs.map(lambda row: {"chosen": "w1 w2 w3", "rejected": "w4"})
    trls.loss_types, trls.loss_weights = ["sft"], [1.0]
    for rows, equal in ((same, True), (pairs, False)):
        ours = made(folder, "sft_mean", pairs=rows)
        batch = first_batch(ours)
        theirs, loss = trls.compute_loss(trls.model, dict(batch)), ours.compute_loss(ours.model, dict(batch))
        assert torch.allclose(loss, theirs, rtol=1e-5) is equal


def test_the_names_in_the_log_are_trls(folder):
    """A metric that TRL adds, renames or computes otherwise shows here."""
    logs = []
    for objective in (None, "dpo:beta=0.1"):
        trainer = made(folder, objective, pairs=toy_pairs(8))
        trainer.train()
        logs.append(trainer.state.log_history[:2])
    theirs, ours = logs
    for line, other in zip(ours, theirs, strict=True):
        assert line.keys() == other.keys()
        assert line == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_evaluation_logs_what_trl_logs(folder):
    theirs, ours = made(folder, None), made(folder, "dpo:beta=0.1")
    found, wanted = ours.evaluate(toy_pairs(8, seed=3)), theirs.evaluate(toy_pairs(8, seed=3))
    timing = {name for name in wanted if "runtime" in name or "per_second" in name}
    assert found.keys() == wanted.keys()
    assert {n: v for n, v in found.items() if n not in timing} == pytest.approx(
        {n: v for n, v in wanted.items() if n not in timing}, rel=1e-4, abs=1e-5
    )


def test_held_out_scores_are_means_over_all_rows(folder):
    """The last batch is smaller: a mean of means of batches would weigh its rows more."""
    held_out = toy_pairs(5, seed=3)
    found = [
        made(folder, "dpo:beta=0.1", per_device_eval_batch_size=size, seed=4).evaluate(held_out) for size in (4, 5)
    ]
    for name in ("rewards/accuracies", "rewards/margins", "rewards/chosen", "logps/chosen", "logps/rejected"):
        assert found[0][f"eval_{name}"] == pytest.approx(found[1][f"eval_{name}"], rel=1e-5, abs=1e-7), name
    again = made(folder, "dpo:beta=0.1", per_device_eval_batch_size=4, seed=4)
    assert [again.evaluate(held_out)["eval_logps/chosen"] for _ in range(2)] == [found[0]["eval_logps/chosen"]] * 2


def test_accumulated_gradients_equal_one_large_batch(folder):
    weights = []
    for size, steps in ((8, 1), (2, 4)):
        trainer = made(
            folder, "simpo", reference=False, per_device_train_batch_size=size, gradient_accumulation_steps=steps,
            max_steps=1,
        )  # fmt: skip
        trainer.train()
        weights.append((adapter(trainer), trainer.state.log_history[0]["grad_norm"]))
    (large, norm), (small, other) = weights
    assert norm == pytest.approx(other, rel=1e-4)
    for name, value in large.items():  # Adam's first step is the sign of the gradient: where it is tiny, it may differ
        assert (value - small[name]).abs().median() < 1e-6


def test_precomputed_references_equal_those_computed_on_the_way(folder):
    losses = []
    for precomputed in (False, True):
        trainer = made(folder, "dpo", precompute_ref_log_probs=precomputed)
        batch = first_batch(trainer)
        assert ("ref_chosen_logps" in batch) is precomputed
        losses.append(trainer.compute_loss(trainer.model, dict(batch)).detach())
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)


def calls_of(model):
    """Forward passes, counted."""
    seen = []
    model.register_forward_hook(lambda *_: seen.append(model.training))
    return seen


def test_an_objective_without_reference_runs_one_forward_pass(folder):
    for objective, passes in (("simpo", 1), ("dpo", 2)):
        reference, model = toy_model(seed=1), toy_model()
        trainer = ObjectiveTrainer(
            model,
            None if objective == "simpo" else reference,
            toy_arguments(folder, precompute_ref_log_probs=False),
            objective=objective,
            train_dataset=toy_pairs(8),
            processing_class=toy_tokenizer(),
        )
        seen = calls_of(model), calls_of(reference)
        trainer.compute_loss(model, dict(first_batch(trainer)))
        assert sum(map(len, seen)) == passes
        assert (trainer.ref_model is None) is (objective == "simpo")


def test_precomputation_is_skipped_without_reference(folder):
    trainer = made(folder, "simpo", reference=False, precompute_ref_log_probs=True)
    assert "ref_chosen_logps" not in trainer.train_dataset.column_names


def test_progress_runs_from_nought_to_below_one(folder, monkeypatch):
    trainer, seen = made(folder, "tempo", reference=False, max_steps=4, gradient_accumulation_steps=2), []
    rows = trainer.loss_of_rows.rows

    def watched(*values):
        seen.append(values[6])
        return rows(*values)

    monkeypatch.setattr(type(trainer.loss_of_rows), "rows", property(lambda self: watched), raising=False)
    trainer.train()
    assert seen == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert trainer.progress == 0.75


def test_adapters_alone_are_trained_and_give_the_reference(folder):
    model = toy_model()
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = made(folder, "dpo", model=model, reference=False, lora=lora, max_steps=8)
    start = adapter(trainer)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(0.693147, abs=1e-5)  # policy and reference alike
    assert trainer.state.log_history[7]["rewards/margins"] > 0
    assert any((start[name] != value).any() for name, value in adapter(trainer).items())
    base = trainer.model.unload()
    for name, value in base.named_parameters():
        assert torch.equal(value, before[name]), name


def test_margins_come_from_the_data(folder):
    margins = [0.5 * place for place in range(8)]
    for precomputed in (False, True):
        pairs = toy_pairs(8, margin=margins)
        trainer = made(folder, "mmpo", pairs=pairs, precompute_ref_log_probs=precomputed, per_device_train_batch_size=8)
        batch = first_batch(trainer)
        assert sorted(batch["margin"].tolist()) == margins
        with_them = trainer.compute_loss(trainer.model, dict(batch))
        without = trainer.compute_loss(trainer.model, {**batch, "margin": torch.zeros(8)})
        assert with_them != without


@pytest.mark.parametrize("id", objective_ids())
def test_every_objective_is_taken_or_refused_in_a_sentence(id):
    if isinstance(make_objective(id), AbstractStatefulObjective):
        with pytest.raises(ValueError, match="keeps a state between updates"):
            torch_loss(id)
        return
    fixed, one = torch.full((3,), -4.0), torch.full((3,), -5.0, requires_grad=True)
    loss = torch_loss(id).rows(one, one - 1, fixed, fixed, fixed + 6, fixed + 7, 0.5)
    assert loss.shape == (3,)
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize(
    ("objective", "settings", "says"),
    [
        ("dop", {}, "unknown objective 'dop': did you mean"),
        ("beta_dpo", {}, "keeps a state between updates"),
        ("mmpo", {}, "no column 'margin'"),
        ("dpo", {"loss_type": ["ipo"]}, "loss_type of DPOConfig"),
        ("dpo", {"label_smoothing": 0.1, "use_weighting": True}, "label_smoothing and use_weighting of DPOConfig"),
        ("dpo:beta=0.2", {"beta": 0.7}, r"beta=0.7 of DPOConfig contradicts the objective 'dpo:beta=0.2'.*has 0.2"),
        ("simpo", {"beta": 0.7}, "beta=0.7 of DPOConfig contradicts"),
        ("discopop", {"discopop_tau": 0.2}, "discopop_tau=0.2 of DPOConfig contradicts"),
        ("dpo", {"discopop_tau": 0.2}, "discopop_tau of DPOConfig"),
        ("dpo", {"f_alpha_divergence_coef": 0.2}, "f_alpha_divergence_coef of DPOConfig"),
    ],
)
def test_mistakes_are_refused(folder, objective, settings, says):
    with pytest.raises(ValueError, match=says):
        made(folder, objective, **settings)


@pytest.mark.parametrize(
    ("objective", "settings"),
    [("dpo:beta=0.7", {"beta": 0.7}), ("discopop:temperature=0.2", {"discopop_tau": 0.2}), ("sft", {"beta": 0.7})],
)
def test_settings_that_say_the_same_are_taken(folder, objective, settings):
    assert made(folder, objective, **settings).args.beta == settings.get("beta", 0.05)


COMPARE = {"aot", "aot_unpaired", "relative_po", "rpo_diagonal", "kto", "aql", "aqfl", "dbaql"}
"""Those that sort or average over the rows of a batch."""
STATELESS = [id for id in objective_ids() if not isinstance(make_objective(id), AbstractStatefulObjective)]


@pytest.mark.parametrize("id", STATELESS)
def test_objectives_that_compare_rows_are_known(id):
    assert torch_loss(id).compares_rows is (id in COMPARE)


def test_they_warn_under_micro_batches(folder):
    with pytest.warns(UserWarning, match="'aot' compares the rows of a batch, and each update is computed in 2 parts"):
        made(folder, "aot", gradient_accumulation_steps=2)


def without(**tokens):
    tokenizer = toy_tokenizer()
    for name in tokens:
        setattr(tokenizer, name, None)
    return tokenizer


def bare(folder, tokenizer, **more):
    given = {"model": toy_model(), "ref_model": toy_model(seed=1), "args": toy_arguments(folder)} | more
    return ObjectiveTrainer(objective="dpo", train_dataset=toy_pairs(4), processing_class=tokenizer, **given)


def test_a_tokenizer_that_cannot_end_a_sequence_is_refused(folder):
    for tokens in ({"eos_token": None}, {"eos_token": None, "pad_token": None}):
        with pytest.raises(ValueError, match="the tokenizer has no end-of-sequence token"):
            bare(folder, without(**tokens))
    trainer = bare(folder, without(pad_token=None))
    assert trainer.data_collator.pad_token_id == trainer.processing_class.eos_token_id


def adapted(name="default", trained=True):
    model = get_peft_model(toy_model(), LoraConfig(r=2, task_type="CAUSAL_LM"), adapter_name=name)
    for one in model.parameters():
        one.requires_grad_(one.requires_grad and trained)
    return model


@pytest.mark.parametrize(
    ("model", "says"), [({"name": "mine"}, "is named 'mine'"), ({"trained": False}, "is_trainable=True")]
)
def test_adapters_that_would_not_be_trained_are_refused(folder, model, says):
    with pytest.raises(ValueError, match=says):
        bare(folder, toy_tokenizer(), model=adapted(**model), ref_model=None)


@pytest.mark.parametrize("objective", ["dpo", "simpo"])
def test_a_trained_adapter_is_saved_without_its_start(folder, objective, tmp_path):
    trainer = made(folder, objective, model=adapted(), reference=False)
    trainer.save_model(str(tmp_path))
    assert (tmp_path / "adapter_config.json").exists()
    assert not (tmp_path / "ref").exists()
    assert ("ref" in trainer.model.peft_config) is (objective == "dpo")


def test_ties_count_half_in_the_log(folder):
    trainer = made(folder, "dpo", reference=False, lora=LoraConfig(r=2, task_type="CAUSAL_LM"), max_steps=1)
    trainer.train()
    assert trainer.state.log_history[0]["rewards/accuracies"] == 0.5  # policy and reference alike


@pytest.mark.parametrize("steps", [1, 2])
def test_a_loss_that_is_not_finite_ends_training_with_its_rows(folder, steps):
    margins = [0.5, 1.0, 3e38, 0.0]
    trainer = made(folder, "rpo_sq", pairs=toy_pairs(4, margin=margins), gradient_accumulation_steps=steps,
                   per_device_train_batch_size=4 // steps)  # fmt: skip
    before = adapter(trainer)
    with pytest.raises(WorkFailed, match=r"update 1: the loss is not finite \(rows 3 of the data; the first is 1\)"):
        trainer.train()
    assert all(torch.equal(before[name], value) for name, value in adapter(trainer).items())


def test_a_gradient_that_is_not_finite_ends_training_with_its_rows(folder):
    trainer = made(folder, "simpo", pairs=toy_pairs(4), reference=False, gradient_accumulation_steps=2,
                   per_device_train_batch_size=2)  # fmt: skip
    trainer.model.lm_head.weight.register_hook(lambda gradient: gradient * torch.inf)
    before = adapter(trainer)
    with pytest.raises(WorkFailed, match=r"update 1: the gradient is not finite \(rows 1, 2, 3, 4 of the data"):
        trainer.train()
    assert all(torch.equal(before[name], value) for name, value in adapter(trainer).items())


def test_pairs_are_read_by_our_rule(folder):
    """TRL would make `Paris`, ` ` and `n` of the first, and train on ties."""
    rows = [("w1 ", "w2"), ("w1 w2 w3", "w1 w2 w30"), ("w5", "w5")]
    pairs = Dataset.from_list([{"chosen": chosen, "rejected": rejected} for chosen, rejected in rows])
    with pytest.warns(UserWarning, match="1 of 3 rows left out, for chosen and rejected are equal"):
        trainer = made(folder, "dpo", pairs=pairs)
    names = [[trainer.processing_class.convert_ids_to_tokens(row[f"{part}_ids"]) for part in
              ("prompt", "chosen", "rejected")] for row in trainer.train_dataset]  # fmt: skip
    assert names == [[[], ["w1", "</s>"], ["w2", "</s>"]], [["w1", "w2"], ["w3", "</s>"], ["w30", "</s>"]]]


@pytest.mark.parametrize("margin", ["high", None])
def test_margins_that_are_no_numbers_are_refused(folder, margin):
    pairs = toy_pairs(4, margin=["0.5", "1", margin, "2"])
    with pytest.raises(ValueError, match="train_dataset: row 3: "):
        made(folder, "mmpo", pairs=pairs)


def test_it_goes_on_where_it_is_told_to(folder):
    """`mpo transfer` judges models that diverge."""
    pairs = toy_pairs(4, margin=[0.5, 1.0, 3e38, 0.0])
    trainer = LossTrainer(toy_model(), toy_model(seed=1), toy_arguments(folder), loss=torch_loss("rpo_sq"), stops=False,
                          train_dataset=pairs, processing_class=toy_tokenizer())  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == 2
    assert not all(torch.isfinite(one).all() for one in trainer.model.parameters())
