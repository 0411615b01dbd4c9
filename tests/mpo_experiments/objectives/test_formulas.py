"""Formulas of losses, as LaTeX and as JSON: the same numbers as the losses, and text that TeX takes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from adapters.expressions.latex import latex_document, latex_line, latex_lines
from adapters.expressions.traced import traced_formula
from adapters.expressions.tree import formula_tree
from helpers.objective_points import pair_at, random_point
from helpers.objectives import export, learned_start, load_objective
from mpo_core.formula.notation import read_formula
from mpo_core.formula.quantities import with_settings
from mpo_core.losses.catalogue import catalogue_entry, make_objective, objective_ids, saved_ids
from mpo_core.losses.ids import OWN_IDS
from mpo_core.losses.members import as_mirror, member_ids
from mpo_core.mirror.closed_form import FEATURES, LOG_PROB_ONLY, TIME_SHAPES, SumOfTerms, Term
from mpo_core.mirror.formula import formula_of_mirror
from mpo_core.mirror.maps import Zero
from mpo_core.mirror.mirror_objective import MirrorObjective

matplotlib = pytest.importorskip("matplotlib")
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "expression.md"
IDS = (*OWN_IDS, *saved_ids())
OTHER_SETTINGS = (
    "kto:kl=0.4", "cpo:nll=mean", "slic_hf:nll=mean", "rrhf:nll=mean", "pro_pair:temperature=1.5", "mappo:dr=0.3",
    "alpha_dpo:center=0.1,sd=0.5", "beta_dpo:m0=0.3,a=0.2", "tempo:t0=0.2,t1=0.5", "madpo:tau=-0.5",
)  # fmt: skip
NAMES = {"chosen": "logp_chosen", "rejected": "logp_rejected"}
NO_FORMULA = ("arange", r"\mathrm{dot}", "concat", "CONSTANT", "pmatrix", "cases")


@pytest.fixture(scope="session")
def evaluate():
    """The evaluator that the page shows."""
    scope: dict = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0], scope)
    return scope["losses"]


def assert_equal(evaluate, tree, objective, least=1e-6):
    for scale, progress in ((0.05, 0.0), (0.25, 0.3), (0.1, 0.9)):  # log-ratios within the ends at 30
        point = random_point(rows=5)
        point |= {name: scale * point[name] for name in ("chosen", "rejected", "ref_chosen", "ref_rejected")}
        rows = {NAMES.get(name, name): value.tolist() for name, value in point.items()}
        found = evaluate(tree, rows | {"progress": progress})
        with jax.enable_x64(True):
            expected = np.asarray(objective(pair_at(point), progress))
        np.testing.assert_allclose(found, expected, rtol=least, atol=1e-9)


@pytest.mark.parametrize("text", [*IDS, *OTHER_SETTINGS])
def test_the_tree_has_the_values_of_the_loss(evaluate, text):
    with jax.enable_x64(True):
        objective = load_objective(text)
    assert_equal(evaluate, json.loads(export(text, "json")), objective)


@pytest.mark.parametrize("id", member_ids())
def test_the_maps_of_a_member_make_the_same_loss(evaluate, id):
    with jax.enable_x64(True):
        member = as_mirror(id)
        tree = formula_tree(formula_of_mirror(member))
    assert_equal(evaluate, tree, member)


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("time", TIME_SHAPES)
def test_every_term_of_a_closed_form_has_a_formula(evaluate, feature, time):
    knots = {"growth": (0.1, -0.4, 0.9), "peak": (0.1, 0.4, 0.8)}.get(time, (0.2, 0.6)[: TIME_SHAPES[time][1]])
    with jax.enable_x64(True):
        term = SumOfTerms((Term(0.7, feature, 1.3, -0.2, time, knots),))
        log_prob = feature in LOG_PROB_ONLY
        maps = (term, Zero(), Zero()) if not log_prob else (Zero(), Zero(), term)
        objective = MirrorObjective(maps[0], SumOfTerms((Term(1.0, "identity"),)), maps[2], "mean", "mean", True)
        tree = formula_tree(formula_of_mirror(objective))
    assert_equal(evaluate, tree, objective)


@pytest.mark.parametrize("id", ["dpo", "orpo", "tempo", "padll", "madpo"])
def test_a_traced_loss_has_the_same_values(evaluate, id):
    with jax.enable_x64(True):
        objective = make_objective(id)
        tree = formula_tree(traced_formula(objective))
    assert_equal(evaluate, tree, objective)


def test_a_traced_loss_of_many_rows_has_no_formula():
    with pytest.raises(ValueError, match=r"this loss has no formula: .* acts on more than a row"):
        traced_formula(make_objective("aot"))


@pytest.mark.parametrize("id", OWN_IDS)
def test_latex_of_a_catalogued_loss_is_one_line(id):
    body = [line for line in export(id, "latex").splitlines() if not line.startswith("%")]
    assert body[0] == r"\begin{equation*}"
    assert body[2:] == [r"\end{equation*}"]
    assert body[1].startswith(r"\mathcal{L} = ")
    assert not [word for word in NO_FORMULA if word in body[1]]


@pytest.mark.parametrize("id", saved_ids())
def test_latex_of_a_learned_loss_names_its_maps(id):
    text, objective = export(id, "latex"), make_objective(id)
    knots = objective.psi.log_amplitude.shape[0]
    variables = "(x, t) &=" if knots > 1 else "(x) &="
    assert all(f"\n{name}{variables}" in text for name in (r"\psi", r"\phi^{-1}", "g"))
    assert not [word for word in NO_FORMULA if word in text]


@pytest.mark.parametrize("text", [*IDS, *OTHER_SETTINGS])
def test_latex_is_what_mathtext_can_draw(text):
    from matplotlib.mathtext import MathTextParser

    formula = formula_for(text)
    for line in latex_lines(formula):
        MathTextParser("path").parse(f"${line}$")
    MathTextParser("path").parse(f"${latex_line(formula)}$")


def formula_for(text):
    from mpo_experiments.objectives.export import exported_objective
    from mpo_experiments.objectives.formula import formula_of
    from mpo_experiments.objectives.named import parse_objective

    named = parse_objective(text)
    return formula_of(exported_objective(named)[0], named.loss)


TEX = shutil.which("pdflatex") or shutil.which("tectonic")


@pytest.mark.skipif(TEX is None, reason="neither pdflatex nor tectonic is installed")
def test_tex_compiles_every_formula(tmp_path):
    bodies = "\n".join(export(text, "latex") for text in [*IDS, *OTHER_SETTINGS])
    head = r"\documentclass{article}\usepackage{amsmath}\usepackage[landscape,paperwidth=2m]{geometry}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{head}\n{bodies}\n\\end{{document}}\n")
    flags = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in str(TEX) else []
    done = subprocess.run([str(TEX), *flags, "all.tex"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_a_learned_map_that_has_moved_everywhere(evaluate):
    learned = learned_start("tempo", True)
    leaves, structure = jax.tree.flatten(eqx.filter(learned, eqx.is_inexact_array))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.1 * jax.random.uniform(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    whole = eqx.combine(jax.tree.unflatten(structure, moved), learned)
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, whole)
        formula = formula_of_mirror(double)
    assert_equal(evaluate, formula_tree(formula), double)
    assert r"\psi(x, t) &=" in latex_document(formula, title="", told=[], lines=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("softplus(-beta", "cannot be read at 'its end'"),
        ("softplus(-u) u)", "cannot be read at ')'"),
        ("2 & 3", "'&' is not in the notation"),
        ("1 + ", "cannot be read at 'its end'"),
    ],
)
def test_what_is_not_in_the_notation_is_refused(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        read_formula(text)


def test_a_name_that_nobody_explains_is_refused():
    with pytest.raises(ValueError, match="'nobody' is no setting, quantity or definition"):
        with_settings("softplus(-nobody D)", {})


def test_a_formula_in_a_card_that_is_wrong_would_be_found(evaluate):
    entry = catalogue_entry("dpo")
    wrong = with_settings(entry.formula.replace("-beta", "-2 beta"), {"beta": 0.1})
    with pytest.raises(AssertionError):
        assert_equal(evaluate, formula_tree(wrong), make_objective("dpo"))


def test_every_id_is_covered():
    assert set(objective_ids()) >= set(OWN_IDS)
    assert len(IDS) > 60
