"""Searches on several tasks and kinds of data at once, on some of the maps, and with or without a reference."""

import dataclasses
import functools
import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.evosax.settings import StrategySettings
from adapters.evosax.strategy import Strategy
from adapters.storage.objective_files import read_objective, save_objective
from adapters.storage.sealed import write_sealed
from cli.app import app
from cli.display import Display, console, report_lines
from helpers.compilations import compilations
from helpers.objectives import learned_start
from helpers.toy_run import EXAMPLE, assert_same_results, save_toy_agents, the_run
from helpers.toy_task import TOY_HORIZON, ToyTask
from mpo_core.data.generate_pairs import generate_pairs
from mpo_core.data.specification import parse_data_spec
from mpo_core.devices import population_mesh
from mpo_core.losses.members import as_mirror
from mpo_core.mirror.learned import learned_mirror, split_learned, with_time
from mpo_core.policies.gaussian import GaussianPolicy, Layer
from mpo_core.rollout.program import RolloutProgram
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings
from mpo_experiments.runs import marks
from mpo_experiments.runs.report import CellReport, Row, RunReport, load_report, load_reports, pooled_differences
from mpo_experiments.search import cells, meta_train, program as search
from mpo_experiments.search.program import FIRST_MEMBER, SearchProblem, SearchProgram
from mpo_experiments.settings.listed import split_data
from mpo_experiments.settings.run_config import build_config, build_run, read_run_config
from mpo_experiments.settings.search_settings import SearchSettings
from mpo_experiments.tasks import registry as tasks

POPULATION = 8
SEVERAL = {"task": "halfcheetah,hopper", "data": "mixed:0.75,noisy:0.2"}


class WideTask(ToyTask):
    """The toy task with the goal on the other side and one more number to see."""

    name = "wide"
    observation_size = 4
    goal = -1.0

    def _state(self, position, velocity, done):
        state = super()._state(position, velocity, done)
        return dataclasses.replace(state, observation=jnp.append(state.observation, 0.5))


def widened(policy: GaussianPolicy) -> GaussianPolicy:
    """The same policy with one more observation, which it does not look at."""
    first, *rest = policy.layers
    grown = Layer(jnp.pad(first.kernel, ((0, 1), (0, 0))), first.bias)
    return GaussianPolicy(jnp.zeros(4), jnp.ones(4), (grown, *rest), policy.raw_scale)


# -- configuration ------------------------------------------------------------------------------------------------


def refusal(*layers) -> str:
    with pytest.raises(ValueError, match=r"\S") as refused:
        build_run(*layers)
    return str(refused.value)


def test_every_task_meets_every_kind_of_data():
    config = build_run(SEVERAL)
    found = [(one.task, one.data, one.rows.length, one.search.horizon) for one in config.cells()]
    assert found == [
        ("halfcheetah", "mixed:0.75", 200, 250), ("halfcheetah", "noisy:0.2", 200, 250),
        ("hopper", "mixed:0.75", 400, 500), ("hopper", "noisy:0.2", 400, 500),
    ]  # fmt: skip
    for one in config.cells():  # as a search on it alone would have it
        alone = build_config({"task": one.task, "data": one.data})
        assert one == alone


def test_the_file_of_a_run_on_several_gives_it_back():
    config = build_run(SEVERAL)
    assert build_run(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("seal", [False, True])
def test_files_of_before_with_texts_joined_by_commas_are_read(seal, tmp_path):
    now = build_run(SEVERAL).model_dump(mode="json")
    assert (now["schema_version"], now["task"]) == (2, ["halfcheetah", "hopper"])
    before = now | {"schema_version": 1, "task": SEVERAL["task"], "data": SEVERAL["data"]}
    path = tmp_path / "config.json"
    write_sealed(path, before) if seal else path.write_text(json.dumps(before))
    assert read_run_config(path) == build_run(SEVERAL) == build_run(now)


def test_what_is_asked_for_holds_for_all_tasks_and_what_is_asked_for_a_task_for_that_one():
    asked = build_run(SEVERAL, {"rows": {"length": 60}})
    assert [one.rows.length for one in asked.cells()] == [60] * 4
    assert asked.cells()[2].search.horizon == 500
    own = build_run(SEVERAL, {"per_task": {"halfcheetah": {"rows": {"length": 70}}}})
    assert [one.rows.length for one in own.cells()] == [70, 70, 400, 400]
    single = build_run({"task": "ant", "per_task": {"ant": {"rows": {"length": 70}}}})
    assert [one.rows.length for one in single.cells()] == [70]


def test_commas_within_a_specification_do_not_divide():
    assert split_data("pairs:oo=.5,ot=.3,tt=.2,base") == ["pairs:oo=.5,ot=.3,tt=.2", "base"]
    config = build_run({"task": "ant", "data": "base, pairs:oo=.5,ot=.3, tt=.2"})
    assert config.kinds == ("base", "pairs:oo=0.5,ot=0.3,tt=0.2")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task": "halfcheetah,hoper"}, "unknown task 'hoper': did you mean 'hopper'?"),
        ({"task": "ant,hopper,ant"}, "names 'ant' twice"),
        ({"task": "ant,"}, "task 'ant,': there is nothing between two commas, or at an end"),
        ({"task": "ant", "data": "base,,noisy:.1"}, "there is nothing between two commas"),
        ({"task": "ant", "data": "mixed:.5,nosy:.1"}, "unknown data term 'nosy': did you mean 'noisy:E' or"),
        ({"task": "ant", "data": "mixed:.5,mixed:0.50"}, "names 'mixed:0.5' twice"),
        ({"task": "ant", "per_task": {"hopper": {}}}, "unknown task in 'per_task' 'hopper'"),
        ({"task": "ant,hopper", "per_task": {"hopper": {"seed": 1}}}, "unknown setting in 'per_task' 'seed'"),
        ({"task": "ant,hopper", "per_task": {"hopper": {"rows": {"lenght": 1}}}}, "did you mean 'length'?"),
        ({"task": "ant,hopper", "per_task": {"ant": {"rows": {"count": 4000}}}}, "search.bank_pairs (512) must be"),
        ({"task": "ant", "search": {"maps": "phi,pso"}}, "unknown map in 'search.maps' 'pso': did you mean 'psi'?"),
        ({"task": "ant", "search": {"maps": "g,g"}}, "names one of them twice"),
    ],
)
def test_what_is_not_there_is_refused_in_one_sentence(settings, says):
    said = refusal(settings)
    assert says in said
    assert "\n" not in said


def test_other_commands_take_one_combination():
    with pytest.raises(ValueError, match="only `mpo meta-train` takes several"):
        build_config(SEVERAL)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--task", "halfcheetah,hoper"), "did you mean 'hopper'?"),
        (("--task", "ant", "--search", "psy"), "did you mean 'psi'?"),
        (("--task", "ant", "--data", "base,"), "nothing between two commas"),
    ],
)
def test_the_command_line_refuses_them_too(options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["meta-train", *options], catch_exceptions=False)
    assert (found.exit_code, len(found.stderr.splitlines())) == (2, 1)
    assert says in found.stderr
    assert not list(tmp_path.iterdir())


def test_marks_are_the_means_of_what_was_tuned_on_every_cell(monkeypatch):
    found = [{"sft": 0.1, "orpo": 0.5}, {"sft": 0.3}]
    monkeypatch.setattr(marks, "marks", lambda config: found[config.task == "hopper"])
    config = build_run({"task": "halfcheetah,hopper"})
    assert marks.mean_marks(config.cells()) == {"sft": pytest.approx(0.2)}


def test_a_legend_says_over_how_many_steps_tuned_objectives_were_judged(monkeypatch):
    cells = build_run({"task": "halfcheetah,hopper"}).cells()
    assert marks.horizons(cells) == "horizon 1000"
    shorter = marks.load_tuned("hopper", "mixed:0.75").model_copy(
        update={"provenance": {"evaluation": {"horizon": 40}}}
    )
    before = marks.load_tuned
    monkeypatch.setattr(marks, "load_tuned", lambda task, data: shorter if task == "hopper" else before(task, data))
    assert marks.horizons(cells) == "horizon 40 or 1000"


# -- search -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make_program(toy_task, toy_original):
    """Builds a search on cells given as (task, data, constants)."""

    def make(*wanted, maps=("phi", "psi", "g"), generations=8, **settings):
        learned = split_learned(learned_mirror(as_mirror("tempo"), temporal=False), maps)
        inner = InnerLoopSettings(epochs=2, learning_rate=1e-2)
        problems = [
            SearchProblem(
                task=task, original=widened(toy_original) if task.observation_size == 4 else toy_original,
                spec=parse_data_spec(data), rows=8, inner=inner, constants=constants, seed=0,
                evaluation=EvaluationSettings(4, TOY_HORIZON),
            )
            for task, data, constants in wanted
        ]  # fmt: skip
        chosen = StrategySettings("openes", population=POPULATION, sigma=0.4, learning_rate=0.2)
        return SearchProgram(
            problems, SearchSettings(generations=generations, bank_pairs=32, **settings),
            Strategy(chosen, learned[0], generations), learned, population_mesh(2),
        )  # fmt: skip

    return make


@pytest.fixture(scope="module")
def make_bank(toy_program, toy_agents):
    wide = RolloutProgram(WideTask(), envs=16, chunk=10)

    def make(task, data):
        program, agents = (wide, jax.vmap(widened)(toy_agents)) if task.name == "wide" else (toy_program, toy_agents)
        return generate_pairs(
            program, agents, parse_data_spec(data), RowSettings(32, TOY_HORIZON), key=jax.random.key(1)
        )

    return make


def run(program, banks, generations):
    state, placed, scores = program.start(), program.place(tuple(banks)), []
    for generation in range(generations):
        state, score = program.step(state, program.place(jnp.int32(generation)), placed)
        scores.append(jax.tree.map(np.asarray, score))
    return scores, state


@pytest.fixture
def fake_returns(monkeypatch):
    """In place of training: a return of the task, the parameters (by default their sum) and the unit."""

    def everything(objective):
        return sum(leaf.reshape(leaf.shape[0], -1).sum(1) for leaf in jax.tree.leaves(objective))

    def install(value, of=everything):
        def job_returns(task, jobs, common, units, policy, evaluation_key, *others, **options):
            return value(task.name, of(jobs.objective), jobs.unit)

        monkeypatch.setattr(search, "job_returns", job_returns)

    return install


def test_cells_that_disagree_are_settled_by_the_mean(make_program, make_bank, toy_task, fake_returns):
    """One task is best at psi's amplitude e^3, the other at e^-1, where a slope is worth twice as much."""
    wide = WideTask()
    fake_returns(
        lambda name, x, unit: -jnp.abs(x - 3.0) if name == "toy" else -jnp.abs(x + 1.0),
        of=lambda objective: objective.psi.log_amplitude[:, 0],
    )
    program = make_program((toy_task, "mixed:0.5", (0.0, 1.0)), (wide, "base", (0.0, 0.5)), generations=40)
    banks = [make_bank(toy_task, "mixed:0.5"), make_bank(wide, "base")]
    with compilations("_generation") as found:
        scores, state = run(program, banks, 40)
    np.testing.assert_allclose(scores[0].cells, [[-3, -3], [-2, -2]], atol=1e-5)
    np.testing.assert_allclose(scores[0].mean, -2.5, atol=1e-5)
    # the mean score -(|x - 3| + 2 |x + 1|) / 2 is best at -1; either cell alone would have its own optimum
    assert abs(float(program.result(state).psi.log_amplitude[0]) + 1) < 0.4
    assert np.mean([score.mean for score in scores[-5:]]) > -2.3
    assert len(found) == 1


def test_tasks_of_different_sizes_are_searched_on_in_one_program(make_program, make_bank, toy_task):
    wide = WideTask()
    wanted = [(toy_task, "mixed:0.5", (2.0, 12.0)), (toy_task, "noisy:0.2", (2.0, 12.0)), (wide, "base", (-60.0, 12.0))]
    program = make_program(*wanted)
    assert program._groups() == [range(2), range(2, 3)]
    banks = [make_bank(task, data) for task, data, _ in wanted]
    scores, _ = run(program, banks, 2)
    assert scores[0].cells.shape == (3, 2)
    np.testing.assert_allclose(
        scores[0].cells[:, 0], scores[0].cells[:, 1], rtol=1e-5
    )  # the search begins at its start
    np.testing.assert_allclose(scores[1].mean, scores[1].cells[:, 0].mean(), rtol=1e-5)
    assert np.ptp(scores[0].cells[:, 0]) > 0
    alone, _ = run(make_program(wanted[0]), banks[:1], 1)
    # the first cell has the units that it has alone
    np.testing.assert_allclose(alone[0].start, scores[0].cells[0, 1], rtol=1e-5)
    assert alone[0].cells is None


def test_a_spread_population_is_spread_within_each_cell(make_program, make_bank, toy_task, fake_returns):
    """The fake returns differ by 10 between datasets and by far less between members."""
    fake_returns(lambda name, x, unit: x + 10.0 * unit)
    wanted = [(toy_task, "mixed:0.5", (0.0, 1.0)), (WideTask(), "mixed:0.5", (0.0, 2.0))]
    program = make_program(*wanted, datasets=2, spread=True)
    candidate, unit = program._places()
    for member in range(POPULATION):
        own = unit[candidate == FIRST_MEMBER + member]
        assert len(own) == 2
        assert own[1] == own[0] + 2
    assert all(len(unit[candidate == place]) == 4 for place in range(FIRST_MEMBER))
    scores, _ = run(program, [make_bank(task, data) for task, data, _ in wanted], 1)
    members = scores[0].members
    assert np.ptp(members) < 20  # datasets are 10 and 5 apart in score; members by the sum of a dozen parameters
    first = unit[(candidate >= FIRST_MEMBER) & (unit < 2)]
    by_dataset = [members[first == dataset].mean() for dataset in (0, 1)]
    np.testing.assert_allclose(by_dataset[0], by_dataset[1], atol=1e-4)


def test_only_the_maps_that_are_searched_move(make_program, make_bank, toy_task, fake_returns):
    fake_returns(lambda name, x, unit: x)
    program = make_program((toy_task, "mixed:0.5", (0.0, 1.0)), maps=("psi",), generations=3)
    _, state = run(program, [make_bank(toy_task, "mixed:0.5")], 3)
    found = program.result(state)
    assert len(jax.tree.leaves(found)) == 4
    objective = eqx.combine(found, program._common)
    assert np.abs(objective.psi.log_amplitude).max() > 0
    for still in (objective.phi_inv, objective.g):
        assert not np.asarray(still.log_amplitude).any()
        assert not np.asarray(still.network.weight).any()


# -- reference and time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("init", "reference"), [("tempo", True), ("dpo", False), ("tempo", None), ("dpo", True)])
def test_the_reference_is_switched_and_comes_back_from_a_file(init, reference, tmp_path):
    start = learned_start(init, True, reference)
    own = as_mirror(init).reference
    assert start.reference == (own if reference is None else reference)
    save_objective(tmp_path, start, init=init, temporal=True, provenance={})
    card, read = read_objective(tmp_path)
    assert card["reference"] == (None if start.reference == own else start.reference)
    assert ("reference" in json.loads((tmp_path / "objective.json").read_text())) == (start.reference != own)
    assert read.reference == start.reference
    assert learned_start(str(tmp_path), True).reference == start.reference
    assert learned_start(str(tmp_path), True, not start.reference).reference != start.reference


def test_a_static_objective_is_widened_to_a_temporal_one_that_is_the_same(tmp_path, toy_rows):
    learned, common = split_learned(learned_mirror(as_mirror("tempo"), temporal=False))
    leaves, structure = jax.tree.flatten(learned)
    drawn = [0.5 * jax.random.normal(jax.random.key(place), leaf.shape) for place, leaf in enumerate(leaves)]
    static = eqx.combine(jax.tree.unflatten(structure, drawn), common)
    save_objective(tmp_path, static, init="tempo", temporal=False, provenance={})
    temporal = learned_start(str(tmp_path), True)
    x = -jnp.geomspace(1e-3, 30.0, 50)
    for name in ("phi_inv", "psi", "g"):
        for t in (0.0, 0.2, 0.5, 0.9):
            before, after = (np.asarray(getattr(one, name)(x, t)) for one in (static, temporal))
            np.testing.assert_allclose(after, before, rtol=2e-6, atol=1e-6)
    assert jax.tree.structure(temporal) == jax.tree.structure(learned_start("tempo", True))
    with pytest.raises(ValueError, match="sees training progress already"):
        with_time(temporal)


# -- report -------------------------------------------------------------------------------------------------------

NAMES = ("sft", "orpo", "start", "discovered")


def cell_report(task, data, seed=1):
    scores = np.random.default_rng([seed, len(task), len(data)]).normal(size=(len(NAMES), 5))
    rows = [
        Row(name=n, note="note", sampled=list(s), mode=list(s + 1), clamped=0.0)
        for n, s in zip(NAMES, scores, strict=True)
    ]
    return CellReport(
        task=task, data=data, preset="quick", init="tempo", units=5, seed=seed, original=1.0, target=2.0, rows=rows
    )


def several_reports(seed=1):
    return RunReport(
        cells=[cell_report(task, data, seed) for task in ("ant", "hopper") for data in ("base", "mixed:0.75")]
    )


def test_a_report_on_several_comes_back_and_has_a_mean(tmp_path, capsys):
    report = several_reports()
    report.save(tmp_path)
    assert load_report(tmp_path) == report
    over = report.overall()
    expected = np.mean([cell.row("discovered").sampled for cell in report.cells], 0)
    np.testing.assert_allclose(over.row("discovered").sampled, expected)
    assert over.row("discovered").interval().units == 5  # not 20: a unit is averaged over the combinations first
    for line in report_lines(report):
        console().print(line)
    shown = capsys.readouterr().out
    assert all(f"{task}, {data}: normalised" in shown for task in ("ant", "hopper") for data in ("base", "mixed:0.75"))
    assert "Mean of the 4 combinations" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_the_report_of_one_cell_is_a_list_of_one_and_the_flat_form_of_before_is_read(tmp_path):
    report = RunReport(cells=[cell_report("ant", "base")])
    report.save(tmp_path / "new")
    assert load_report(tmp_path / "new") == report
    write_sealed(tmp_path / "old" / "report.json", report.cells[0].model_dump(mode="json"))
    assert load_report(tmp_path / "old") == report
    assert report.overall().row("orpo").sampled == report.cells[0].row("orpo").sampled
    lines = list(report_lines(report))
    assert len(lines) == 7  # one table, a blank line, five lines on differences


def test_runs_on_several_are_pooled_unit_by_unit(tmp_path):
    for seed in (1, 2):
        several_reports(seed).save(tmp_path / str(seed))
    reports = load_reports([tmp_path / "1", tmp_path / "2"])
    pooled = pooled_differences([report.overall() for report in reports])
    assert pooled["orpo"].units == 10
    numbers = tmp_path / "numbers.json"
    found = CliRunner().invoke(app, ["report", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(numbers)])
    assert found.exit_code == 0, found.output
    assert "mean of the combinations" in " ".join(found.stdout.split())
    written = json.loads(numbers.read_text())
    np.testing.assert_allclose(written["orpo"]["estimate"], pooled["orpo"].estimate)
    each = [written["cells"][f"{task}, {data}"]["orpo"]["estimate"] for task, data in
            (("ant", "base"), ("ant", "mixed:0.75"), ("hopper", "base"), ("hopper", "mixed:0.75"))]  # fmt: skip
    np.testing.assert_allclose(np.mean(each), pooled["orpo"].estimate)
    RunReport(cells=[cell_report("ant", "base", 3)]).save(tmp_path / "3")
    with pytest.raises(ValueError, match="cannot be pooled: they differ in task"):
        load_reports([tmp_path / "1", tmp_path / "3"])


def test_reports_that_do_not_belong_together_are_refused(tmp_path):
    one = cell_report("ant", "base")
    with pytest.raises(ValueError, match="twice"):
        RunReport(cells=[one, one])
    with pytest.raises(ValueError, match="same rows, units and seed"):
        RunReport(cells=[one, cell_report("hopper", "base", seed=2)])


# -- a whole run --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory):
    """The worked example's task under two names, the second with rows of its own, in this process."""
    folder, patch = tmp_path_factory.mktemp("agents"), pytest.MonkeyPatch()
    save_toy_agents(folder)
    shutil.copytree(folder / "reach", folder / "stretch")
    card = json.loads((folder / "stretch" / "card.json").read_text())
    (folder / "stretch" / "card.json").write_text(json.dumps(card | {"task": "stretch"}))
    patch.syspath_prepend(EXAMPLE)
    patch.setenv("MPO_AGENTS_DIR", str(folder))
    from mpo_reach.task import TASK

    patch.setitem(tasks.TASKS, TASK.name, TASK)
    patch.setitem(tasks.TASKS, "stretch", dataclasses.replace(TASK, name="stretch"))
    patch.setattr(meta_train, "Testbed", functools.cache(meta_train.Testbed))
    patch.setattr(cells, "BASELINES", ("sft",))
    yield
    patch.undo()


@pytest.mark.slow
def test_a_run_on_several_goes_on_where_it_stopped(two_tasks, tmp_path):
    options = ["--task", "reach,stretch", "--data", "mixed:0.75,noisy:0.2", "--preset", "smoke", "--generations", "3"]
    own = ["--set", "per_task.stretch.rows.length=40", "--search", "psi,g", "--reference", "--out", str(tmp_path / "a")]
    found = CliRunner().invoke(app, ["meta-train", *options, *own], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert max(map(len, found.stdout[: found.stdout.index("Run folder   ")].splitlines()[2:])) <= 80
    assert "Mean of the 4 combinations" in found.stdout
    folder = the_run(tmp_path / "a")
    assert folder.name.startswith("reach_stretch-mixed0.75_noisy0.2-")
    config = read_run_config(folder / "config.json")
    assert (config.search.learned, config.reference) == (["psi", "g"], True)
    assert [one.rows.length for one in config.cells()] == [50, 50, 40, 40]
    assert set(config.provenance["data_sha256"]) == {cell.title for cell in config.cells()}
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [list(record["cells"]) for record in records] == [[cell.title for cell in config.cells()]] * 3
    np.testing.assert_allclose(records[2]["mean"], np.mean([one["mean"] for one in records[2]["cells"].values()]))
    _, objective = read_objective(folder)
    assert objective.reference
    assert not np.asarray(objective.phi_inv.log_amplitude).any()
    assert np.asarray(objective.psi.log_amplitude).any()

    copy = shutil.copytree(folder, tmp_path / "b" / folder.name)
    for name in ("report.json", "objective.json", "objective.safetensors", "checkpoints/000003.safetensors"):
        (copy / name).unlink()
    again = CliRunner().invoke(app, ["meta-train", "--resume", str(copy)], catch_exceptions=False)
    assert again.exit_code == 0, again.output
    assert_same_results(folder, copy, ("objective.safetensors", "objective.json", "report.json"))


def test_lines_of_a_generation_on_several_fit_80_columns(capsys):
    scores = {f"three_legged_ant, mixed:0.{place}": {"mean": 0.1, "start": None} for place in range(4)}
    record = {"generation": 0, "mean": 0.1, "start": 0.2, "best": None, "failed": 0, "seconds": 2.0, "cells": scores}
    with Display(console()) as display:
        display.stage("Search", 2, "generation")
        display.generation(record)
        display.advance(1)
    shown = capsys.readouterr().out
    assert shown.count("failed") == 5  # the best, and each of four whose start failed
    assert max(map(len, shown.splitlines())) <= 80
