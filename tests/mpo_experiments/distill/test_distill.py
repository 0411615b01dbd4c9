"""Closed forms of learned objectives: exact where the truth is in the library, increasing by construction, and whole
objectives afterwards."""

import itertools
import json
import types
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.storage.closed_card import TermCard, closed_card
from adapters.storage.objective_files import CARD_SEAL, read_objective, save_closed, save_objective
from adapters.storage.objective_paths import CARD_NAME
from adapters.storage.sealed import write_sealed
from cli.app import app
from helpers.objective_points import pair_at, random_point
from helpers.objectives import export, learned_start, load_objective
from helpers.torch_agreement import LIMITS, assert_agree
from mpo_core.losses.members import as_mirror
from mpo_core.mirror.closed_form import FEATURES, LOG_PROB_ONLY, TIME_SHAPES, SumOfTerms, Term
from mpo_core.mirror.distillation import MAP_NAMES, DistillSettings, distil, distill_errors, is_learned
from mpo_core.mirror.learned import learned_mirror, split_learned, with_scale
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import Domain, Frame, monotone_network
from mpo_core.mirror.realised import even_samples, thinned, with_coverage
from mpo_core.mirror.sparse_fit import fits_by_size, sparse_fit
from mpo_core.mirror.term_library import NETWORK_UNITS, Candidate
from mpo_core.seeds import Stream
from mpo_experiments.distill.closed_text import latex_text, plain_text, python_module
from mpo_experiments.distill.folder import SCORE, default_folder
from mpo_experiments.distill.samples import conditions, range_samples, training_samples
from mpo_experiments.distill.score import DistillScore, score
from mpo_experiments.progress import SilentReporter
from mpo_experiments.settings.run_config import build_config
from mpo_experiments.testbed import Testbed

LAST = -1e-3


@pytest.fixture(scope="module")
def samples():
    return [thinned(one, 300, seed=0) for one in range_samples(-4.0)]


@pytest.fixture(scope="module")
def closed():
    """A closed form with a term of every feature and every shape over time."""
    phi_inv = SumOfTerms((Term(1.5, "identity"), Term(0.25, "log_odds", 1.0, 0.0, "rise", (0.0, 0.5))))
    psi = SumOfTerms(
        (
            Term(0.75, "log_sigmoid", 2.0, -1.0, "peak", (0.0, 0.5, 1.0)), Term(0.125, "tanh", 0.5),
            Term(0.01, "exp", 0.25), Term(0.5, "min_zero", 1.0, 0.5),
        )
    )  # fmt: skip
    g = SumOfTerms(
        (
            Term(0.5, "tsallis", 0.25, 0.0, "fall", (0.25, 0.75)),
            Term(0.1, "softplus", 1.0, 1.0, "growth", (-3.0, 0.5, -1.0)),
        )
    )
    return MirrorObjective(phi_inv, psi, g, "mean", "mean", False)


@pytest.fixture
def folder(tmp_path, closed):
    save_closed(tmp_path, closed, {"task": "toy", "inner": {"sft_epochs": 1}})
    return tmp_path


def moved(init: str, temporal: bool, size: float) -> MirrorObjective:
    """A learned member away from its start."""
    learned, common = split_learned(learned_mirror(as_mirror(init), temporal=temporal))
    leaves, structure = jax.tree.flatten(learned)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [leaf + size * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, drawn), common)


def terms_of(map_) -> set:
    return {(t.feature, round(float(t.weight), 3), float(t.slope), float(t.offset), t.shape) for t in map_.terms}


# -- the fit ----------------------------------------------------------------------------------------------------------


def test_a_sparse_truth_is_found_among_many_columns(rng):
    library = np.abs(rng.normal(size=(200, 60))).cumsum(0)
    target = 2.0 * library[:, 7] + 0.5 * library[:, 31]
    fit = sparse_fit(library, target, most=6, tolerance=1e-9 * float(np.linalg.norm(target)))
    assert dict(zip(fit.columns, np.round(fit.weights, 6), strict=True)) == {7: 2.0, 31: 0.5}


def test_weights_are_never_negative_and_errors_fall_with_size(rng):
    library, target = rng.normal(size=(80, 20)), rng.normal(size=80)
    path = fits_by_size(library, target, most=5)
    assert all(len(fit.columns) <= size for size, fit in enumerate(path))
    assert all(later.error <= earlier.error for earlier, later in itertools.pairwise(path))
    assert all(weight > 0 for fit in path for weight in fit.weights)
    for fit in path[1:]:
        left = target - library[:, list(fit.columns)] @ np.array(fit.weights)
        assert np.linalg.norm(left) == pytest.approx(fit.error)


def test_a_target_that_only_falls_gets_no_term(rng):
    library = np.abs(rng.normal(size=(50, 5)))
    assert sparse_fit(library, -np.ones(50), most=3, tolerance=0.0).columns == ()


@pytest.mark.parametrize(
    ("init", "temporal", "expected"),
    [
        (
            "tempo",
            True,
            (
                {("identity", 2.0, 1.0, 0.0, "constant")}, {("log_sigmoid", 1.0, 1.0, 0.0, "rise")},
                {("identity", 1.0, 1.0, 0.0, "fall")},
            ),
        ),
        (
            "orpo",
            False,
            (
                {("log_odds", 1.0, 1.0, 0.0, "constant")}, {("log_sigmoid", 0.1, 1.0, 0.0, "constant")},
                {("identity", 1.0, 1.0, 0.0, "constant")},
            ),
        ),
        (
            "dpo",
            False,
            ({("identity", 0.1, 1.0, 0.0, "constant")}, {("log_sigmoid", 1.0, 1.0, 0.0, "constant")}, set()),
        ),
    ],
)  # fmt: skip
def test_a_known_closed_form_is_recovered_exactly(init, temporal, expected, samples):
    objective = learned_mirror(as_mirror(init), temporal=temporal)
    found = distil(objective, samples[0], DistillSettings(), temporal=temporal)
    assert tuple(terms_of(getattr(found, name)) for name in MAP_NAMES) == expected
    errors = distill_errors(objective, found, samples[1])
    assert errors.gradient < 1e-6
    assert errors.alignment == pytest.approx(1.0)
    assert max(errors.maps[name].relative_rms for name in MAP_NAMES) < 1e-6


def test_more_terms_come_closer_and_the_error_is_that_of_the_gradient(samples):
    objective = moved("orpo", False, 0.4)
    by_terms = [
        distil(objective, samples[0], DistillSettings(terms=terms, tolerance=0.0), temporal=False) for terms in (1, 4)
    ]
    few, many = (distill_errors(objective, one, samples[1]) for one in by_terms)
    assert many.gradient < min(0.05, 0.5 * few.gradient)
    assert all(len(getattr(by_terms[0], name).terms) == 1 for name in MAP_NAMES)

    def field(one):  # not through the code that measures errors
        pair = samples[1].pair
        wide = jax.tree.map(jnp.asarray, pair)

        def loss(chosen, rejected):
            return one(eqx.tree_at(lambda p: (p.chosen, p.rejected), wide, (chosen, rejected)), 0.5).sum()

        return np.stack(jax.grad(loss, (0, 1))(wide.chosen, wide.rejected))

    truth, found = field(objective), field(by_terms[1])
    assert np.linalg.norm(found - truth) < 0.06 * np.linalg.norm(truth)


def test_terms_of_the_library_are_the_units_of_the_network():
    for domain, units in NETWORK_UNITS.items():
        x = np.linspace(-3.5, -0.1, 7) if domain is Domain.LOG_PROB else np.linspace(-3, 3, 7)
        zero = monotone_network(domain, 1, Frame(-0.5, 0.4))
        for place, (feature, slope, offset) in enumerate(units):
            unit = eqx.tree_at(lambda network: network.weight, zero, zero.weight.at[place].set(1.0))
            ours = Candidate(feature, slope / 0.4, offset + slope / 0.4 * 0.5).term(0.4 / slope)
            np.testing.assert_allclose(unit(jnp.asarray(x), 0.3), ours(jnp.asarray(x), 0.3), rtol=2e-5, atol=1e-6)


# -- the terms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize(
    ("shape", "knots"),
    [("constant", ()), ("rise", (0.2, 0.6)), ("peak", (0.0, 0.5, 1.0)), ("growth", (-7.0, 1.0, 0.0))],
)
def test_every_term_increases_with_finite_slopes_everywhere(feature, shape, knots):
    x = jnp.concatenate([-jnp.logspace(4, -6, 60), jnp.zeros(1)])
    x = x if feature in LOG_PROB_ONLY else jnp.concatenate([x, -x[::-1]])
    term = Term(0.7, feature, 1.5, -0.5, shape, knots)
    for progress in (0.0, 0.4, 0.99):
        slopes = jax.vmap(jax.grad(lambda x, t=progress: term(x, t)))(x)
        assert np.isfinite(slopes).all()
        assert (slopes >= 0).all()
        assert (np.diff(term(x, progress)) >= 0).all()
    assert term.monotone


def test_shapes_over_time_have_the_corners_that_their_names_say():
    for shape, knots, expected in (
        ("rise", (0.2, 0.6), (0, 0, 0.5, 1, 1)), ("fall", (0.2, 0.6), (1, 1, 0.5, 0, 0)),
        ("peak", (0.2, 0.4, 0.6), (0, 0, 1, 0, 0)), ("constant", (), (1, 1, 1, 1, 1)),
        ("growth", (-2.0, 0.5, -9.5), np.exp((-2, -1, 0, -1.5, -8))),
    ):  # fmt: skip
        found = [float(TIME_SHAPES[shape][0](t, jnp.asarray(knots, float))) for t in (0.0, 0.2, 0.4, 0.6, 1.0)]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("init", ["orpo", "simpo"])
def test_what_a_search_over_amplitudes_finds_is_a_closed_form_already(init, samples):
    start = with_scale(learned_mirror(as_mirror(init), temporal=True), 0.02)
    varied, common = split_learned(start, networks=False)
    rng = np.random.default_rng(3)
    varied = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32), varied)
    objective = eqx.combine(varied, common)
    closed = distil(objective, samples[0], DistillSettings(digits=6), temporal=True)
    assert max(len(getattr(closed, name).terms) for name in MAP_NAMES) == 1
    assert distill_errors(objective, closed, samples[0]).gradient < 1e-4


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_closed_form_is_an_objective_file(folder, closed):
    card, loaded = read_objective(folder)
    assert (card["kind"], card["schema_version"], card["temporal"]) == ("closed", 2, True)
    assert jax.tree.structure(loaded) == jax.tree.structure(closed)
    jax.tree.map(np.testing.assert_array_equal, loaded, closed)
    same = load_objective(str(folder / CARD_NAME))
    assert isinstance(same, MirrorObjective)
    assert same.monotone
    pair = pair_at(random_point())
    np.testing.assert_array_equal(loaded(pair, 0.4), closed(pair, 0.4))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"maps": 3}, "'maps'"),
        ({"reference": "no"}, "'reference'"),
        ({"schema_version": 3}, "schema version 3, this mpo reads 2"),
        ({"kind": "open"}, "has kind 'open', this mpo reads 'learned' and 'closed'"),
        ({"extra": 1}, "'extra'"),
    ],
)
def test_a_changed_card_is_refused_in_one_sentence(folder, change, says):
    card = json.loads((folder / CARD_NAME).read_text())
    write_sealed(folder / CARD_NAME, card | change, seal=CARD_SEAL)
    with pytest.raises(ValueError, match="objective file") as refused:
        read_objective(folder)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("term", "says"),
    [
        ({"weight": -1.0, "feature": "tanh"}, "must be positive"),
        ({"weight": 1e39, "feature": "tanh"}, "must be positive and finite"),
        ({"weight": 1.0, "feature": "tahn"}, "did you mean 'tanh'?"),
        ({"weight": 1.0, "feature": "tanh", "slope": 0.0}, "must be positive"),
        ({"weight": 1.0, "feature": "tanh", "time": "rise", "knots": [0.5]}, "2 knots in order"),
        ({"weight": 1.0, "feature": "tanh", "time": "rise", "knots": [0.5, 0.1]}, "2 knots in order"),
        ({"weight": 1.0, "feature": "log_odds"}, "none of psi's"),
        ({"weight": 1.0, "feature": "log_odds", "offset": 1.0}, "takes no positive offset"),
        ({"feature": "tanh"}, "'maps.psi.0.weight'"),
    ],
)
def test_a_term_that_need_not_increase_is_refused(folder, term, says):
    card = json.loads((folder / CARD_NAME).read_text())
    card["maps"]["psi"] = [term]
    write_sealed(folder / CARD_NAME, card, seal=CARD_SEAL)
    with pytest.raises(ValueError, match="is damaged") as refused:
        read_objective(folder)
    assert says in str(refused.value)


def test_an_edited_number_is_seen(folder):
    path = folder / CARD_NAME
    path.write_text(path.read_text().replace("0.75", "0.76", 1))
    with pytest.raises(ValueError, match="does not match its own hash"):
        read_objective(folder)


def test_no_search_starts_from_a_closed_form(folder):
    with pytest.raises(ValueError, match="is a distilled form, from which no search starts"):
        learned_start(str(folder), True)


def test_exports_agree_with_jax(folder, closed):
    pytest.importorskip("torch")
    source = export(str(folder), "torch")
    assert_agree(closed, source, "float32", LIMITS["float32"])
    with jax.enable_x64(True):
        assert_agree(read_objective(folder)[1], source, "float64", LIMITS["float64"])


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("bracket", ["sum", "mean"])
def test_the_python_module_agrees_with_jax(closed, bracket, reference):
    one = MirrorObjective(closed.phi_inv, closed.psi, closed.g, bracket, "mean", reference)
    scope: dict = {}
    exec(python_module(closed_card(one, {})), scope)
    pair = even_samples((-3.0, -0.1), (-3.0, -0.1), 4.0, 16, seed=0).pair
    arguments = (
        pair.chosen,
        pair.rejected,
        pair.ref_chosen,
        pair.ref_rejected,
        pair.chosen_length,
        pair.rejected_length,
    )
    for progress in (0.0, 0.3, 0.9):
        ours = np.asarray(one(pair, progress))
        np.testing.assert_allclose(scope["loss"](*map(np.asarray, arguments), progress), ours, rtol=1e-4, atol=1e-5)


def test_formulas_name_every_term_and_latex_is_balanced(closed):
    card = closed_card(closed, {})
    text = plain_text(card)
    for word in ("0.25 rise(0, 0.5) log_odds(x)", "0.75 peak(0, 0.5, 1) log_sigmoid(2 x - 1)", "0.5 min(x + 0.5, 0)"):
        assert word in text
    latex = latex_text(card)
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") == latex.count(r"\right")


def test_a_weight_of_one_is_left_out(closed):
    shapes = [("rise", [0, 0.5], 1), ("fall", [0.5, 1], 1)]
    terms = [
        *(TermCard(feature="identity", slope=1, offset=0, weight=w, time=t, knots=k) for t, k, w in shapes),
        TermCard(feature="tanh", slope=2, offset=0, weight=1, time="constant", knots=[]),
        TermCard(feature="exp", slope=1, offset=0, weight=0.5, time="rise", knots=[0, 1]),
    ]
    card = closed_card(closed, {})
    card = card.model_copy(update={"maps": card.maps.model_copy(update={"psi": terms})})
    assert "= (rise(0, 0.5) + fall(0.5, 1)) x + tanh(2 x) + 0.5 rise(0, 1) exp(x)\n" in plain_text(card)
    assert r"&= \left(\mathrm{rise}_{0,0.5}(t) + \mathrm{fall}_{0.5,1}(t)\right)\,x + \tanh" in latex_text(card)
    scope: dict = {}
    exec(python_module(card), scope)
    assert scope["psi"](-2.0, 0.75) == pytest.approx(1.5 * -2 + np.tanh(-4) + 0.5 * 0.75 * np.exp(-2))


# -- samples, scores, the command -------------------------------------------------------------------------------------


def test_coverage_spans_the_range_that_was_realised(samples):
    wider = with_coverage(samples[0], seed=3)
    assert len(wider) == len(samples[0]) + len(samples[0]) // 10
    pair = wider.pair
    for means in (pair.chosen / pair.chosen_length, pair.rejected / pair.rejected_length):
        assert means.min() >= -4.0 - 1e-6
        assert means.max() <= LAST + 1e-6


def test_samples_of_training_are_what_the_policies_make_of_the_rows(toy_program, toy_agents):
    testbed = Testbed("halfcheetah")
    vars(testbed).update(program=toy_program, agents=toy_agents)
    sizes = {"rows": {"count": 16, "length": 20}, "inner": {"epochs": 3, "learning_rate": 0.01}}
    config = build_config({"task": "halfcheetah", "preset": "smoke", "data": "mixed:0.5"} | sizes)
    objective = learned_mirror(as_mirror("tempo"), temporal=True)
    found, other = training_samples(testbed, config, objective, 1, 2, SilentReporter())
    assert sorted(set(found.progress.round(3))) == [0.333, 0.667, 0.958]  # after SFT, then after each epoch
    first = found.progress == found.progress.min()
    np.testing.assert_allclose(found.pair.chosen[first], found.pair.ref_chosen[first], rtol=1e-5)
    assert not np.allclose(found.pair.chosen[~first], found.pair.ref_chosen[~first], rtol=1e-3)
    assert not np.allclose(found.pair.chosen[first], other.pair.chosen[first])


def test_conditions_are_those_of_the_search_unless_told_otherwise():
    found = {"task": "hopper", "data": "noisy:0.2", "preset": "smoke", "rows": {"count": 6, "length": 40}}
    same = conditions({"provenance": found}, task=None, data=None, preset=None, seed=1)
    assert (same.task, same.data, same.rows.count, same.seed) == ("hopper", "noisy:0.2", 6, 1)
    other = conditions({"provenance": found}, task="halfcheetah", data=None, preset="quick", seed=1)
    assert (other.task, other.data, other.rows.count) == ("halfcheetah", "noisy:0.2", 128)
    shares = found | {"data": "pairs:oo=0.5,ot=0.3,tt=0.2"}
    whole = conditions({"provenance": shares}, task=None, data=None, preset=None, seed=1)
    assert whole.data == "pairs:oo=0.5,ot=0.3,tt=0.2"
    several = found | {"data": "noisy:0.2,pairs:oo=0.5,ot=0.3,tt=0.2", "task": ["ant", "hopper"]}
    first = conditions({"provenance": several}, task=None, data=None, preset=None, seed=1)
    assert (first.task, first.data) == ("ant", "noisy:0.2")
    with pytest.raises(ValueError, match="name one with --task"):
        conditions({"provenance": {}}, task=None, data=None, preset=None, seed=0)


def test_the_share_of_the_gain_needs_a_gain(rng):
    noise = 0.02 * rng.normal(size=(3, 40))
    found = DistillScore(np.array([[0.6], [0.55], [0.1]]) + noise, "toy")
    assert found.share is not None
    assert found.share.low < found.share.estimate < found.share.high
    assert found.share.estimate == pytest.approx(-0.1, abs=0.03)
    assert "as a share of that gain" in found.lines()[-1]
    none = DistillScore(np.array([[0.1], [0.1], [0.1]]) + noise, "toy")
    assert none.share is None
    assert "no share of the gain" in none.lines()[-1]


@pytest.mark.parametrize(("stream", "first"), [(Stream.SELECTION, 2), (Stream.REPORTING, 0)])
def test_a_score_is_of_units_that_the_fit_did_not_see(monkeypatch, closed, stream, first):
    seen = []

    def compare(self, candidates, settings, reporter):
        seen.append((settings.stream, settings.first_unit, settings.units))
        return types.SimpleNamespace(sampled=np.zeros((len(candidates), settings.units)))

    monkeypatch.setattr(Testbed, "compare", compare)
    config = build_config({"task": "halfcheetah", "preset": "smoke"})
    score(Testbed("halfcheetah"), config, (closed, closed), 1, (stream, 5), SilentReporter())
    assert seen == [(stream, first, 5)]


@pytest.fixture(scope="module")
def learned_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    save_objective(folder, moved("orpo", False, 0.3), init="orpo:lam=0.1", temporal=False, provenance={"task": "toy"})
    return folder


def test_a_run_folder_is_written_into_only_when_asked(learned_folder):
    assert default_folder(str(learned_folder)) == Path(f"distilled-{learned_folder.name}")
    assert default_folder(str(learned_folder / "objective.json")) == Path(f"distilled-{learned_folder.name}")
    assert default_folder("discovered/ant") == Path("distilled-discovered-ant")


def test_the_command_writes_an_objective_that_other_commands_read(learned_folder, tmp_path):
    out = tmp_path / "closed"
    arguments = ["distill", str(learned_folder), "--range", "-4", "--terms", "3", "--out", str(out)]
    found = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert found.exit_code == 0
    assert sorted(path.name for path in learned_folder.iterdir()) == ["objective.json", "objective.safetensors"]
    assert {path.name for path in out.iterdir()} == {
        "objective.json", "formula.txt", "formula.tex", "objective.py", "distill.json", "maps.png",
    }  # fmt: skip
    assert (out / "formula.txt").read_text().strip() in found.stdout
    card, closed = read_objective(out)
    assert not is_learned(closed)
    assert card["provenance"]["distilled_from"]["init"] == "orpo:lam=0.1"
    told = card["provenance"]["fit"]["errors"]
    original = read_objective(learned_folder)[1]
    errors = distill_errors(original, closed, thinned(range_samples(-4.0)[1], 2000, seed=0))
    assert told["gradient"] == pytest.approx(errors.gradient, rel=1e-3)
    (out / SCORE).write_text("{}")  # of this closed form, and of no later one
    assert CliRunner().invoke(app, [*arguments, "--terms", "2"]).exit_code == 0
    assert not (out / SCORE).exists()


@pytest.mark.slow
def test_the_command_repeats_itself_to_the_byte(learned_folder, tmp_path):
    folders = [tmp_path / name for name in ("once", "again")]
    for folder in folders:
        arguments = ["distill", str(learned_folder), "--range", "-4", "--terms", "3", "--out", str(folder)]
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert len({(folder / CARD_NAME).read_bytes() for folder in folders}) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dpo",), "'dpo' is a closed form already"),
        (("dop",), "unknown objective 'dop'"),
        (("nowhere/",), "cannot be read"),
        (("CLOSED",), "is a distilled form already"),
        (("LEARNED", "--stream", "search"), "allowed: reporting, selection"),
        (("LEARNED", "--range", "-4", "--task", "hopper"), "--range samples no task"),
        (("LEARNED", "--task", "hoper"), "did you mean 'hopper'"),
        (("LEARNED", "--range", "-4", "--out", "LEARNED"), "holds a learned objective"),
        (("LEARNED", "--range", "-4", "--out", "CLOSED"), "holds the closed form of another objective"),
        (("LEARNED", "--range", "1"), "--range"),
    ],
)
def test_mistakes_are_refused(arguments: tuple[str, ...], says, folder, learned_folder):
    places = {"CLOSED": str(folder), "LEARNED": str(learned_folder)}
    found = CliRunner().invoke(app, ["distill", *(places.get(one, one) for one in arguments)])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert found.stderr.count("\n") == 1
