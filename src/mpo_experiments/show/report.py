"""The report of `mpo show`: figures as PNG, and one HTML page that holds them all."""

from pathlib import Path
from typing import Any

from adapters.storage.files import write_whole
from adapters.storage.objective_files import told_of
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_experiments.agents.lookup import load_card
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import versions
from mpo_experiments.runs.report import load_report
from mpo_experiments.show.field import draw_field, field_sentence, field_table
from mpo_experiments.show.functions import draw_functions, functions_sentence, functions_table
from mpo_experiments.show.html import HtmlTable, Section, page
from mpo_experiments.show.inputs import MOST_ROWS, RANGE_TOKENS, Inputs, range_inputs
from mpo_experiments.show.kinds import draw_kinds, kinds_sentence, kinds_table
from mpo_experiments.show.plan import ShowPlan
from mpo_experiments.show.returns import Curves, draw_returns, returns_sentence
from mpo_experiments.show.run import CLASS_FORMULA, CLASS_TEXT, FIGURES, REPORT_NAME, provenance_section, run_sections
from mpo_experiments.show.subject import Shown
from mpo_experiments.show.weights import draw_weights, weights_sentence, weights_table


def write_report(plan: ShowPlan, reporter: Reporter) -> Path:
    """Trains where the plan asks for it, draws, and writes OUT/report.html beside OUT/figures/.

    Returns:
        The page's path.

    Raises:
        OSError: something cannot be written.
        UnusableSetting: only the training could tell that a setting is unusable.
    """
    figures = plan.out / FIGURES
    inputs, curves = [range_inputs(plan.request.low or 0.0)] * len(plan.shown), None
    if plan.config is not None:
        from mpo_experiments.show.training import train_shown  # brings the simulator, which a range does without

        inputs, curves = train_shown(plan, plan.config, reporter)
    sections = [_opening(plan)]
    if plan.run is not None:
        sections += run_sections(*plan.run, load_report(plan.run[0].path), figures)
    sections += figure_sections(plan.shown, inputs, figures, reporter, _where(plan, inputs[0]))
    sections.append(_returns(plan, curves, figures))
    sections += [_beside(plan), provenance_section(_provenance(plan))]
    path = plan.out / REPORT_NAME
    write_whole(path, page(_title(plan), sections).encode())
    return path


def figure_sections(
    shown: list[Shown], inputs: list[Inputs], figures: Path, reporter: Reporter, where: str = ""
) -> list[Section]:
    """Draws maps, gradient field and, where there was a training, weights and the kinds of pairs they fall on.

    Args:
        shown: the objective in question first.
        inputs: what each of them met.
        figures: the folder for the PNGs.
        where: task, data and number of rows, for the titles.
    """
    reporter.stage("Figures", 4 if inputs[0].trained else 2, "figure")
    maps, plane = figures / "functions.png", figures / "field.png"
    draw_functions(maps, shown, inputs, where)
    texts, table = _maps_texts(shown[0], inputs[0]), functions_table(shown, inputs)
    sections = [Section("The three functions", texts, figure=maps, table=table)]
    reporter.advance(1)
    draw_field(plane, shown, inputs, where)
    texts, table = (field_sentence(shown, inputs), _field_text(inputs[0])), field_table(shown, inputs)
    sections.append(Section("The gradient field", texts, figure=plane, table=table))
    reporter.advance(1)
    return [*sections, *_training_sections(shown, inputs, figures, reporter, where)] if inputs[0].trained else sections


def _training_sections(
    shown: list[Shown], inputs: list[Inputs], figures: Path, reporter: Reporter, where: str
) -> list[Section]:
    weights, kinds = figures / "weights.png", figures / "kinds.png"
    draw_weights(weights, shown, inputs, where)
    texts, table = (weights_sentence(shown[0], inputs[0]), WEIGHTS_TEXT), weights_table(shown, inputs)
    sections = [Section("Weight of chosen and rejected", texts, figure=weights, table=table)]
    reporter.advance(1)
    draw_kinds(kinds, shown, inputs, where)
    texts, table = (kinds_sentence(shown[0], inputs[0]), KINDS_TEXT), kinds_table(shown, inputs)
    sections.append(Section("Which pairs it trains on", texts, figure=kinds, table=table))
    reporter.advance(1)
    return sections


KINDS_TEXT = (
    "Share of the gradient, |of the chosen| + |of the rejected| summed over rows, that falls on the pairs of each kind "
    "at the end of every epoch; dashed lines are the kinds' shares of the rows. Who made a trajectory is known here, "
    "not to the objective."
)


WEIGHTS_TEXT = (
    "-dL/d(mean token log-prob) of the chosen and the rejected trajectory, averaged over the rows at the end of every "
    "epoch; bands hold the middle 80 % of rows, the shaded part is SFT. Positive raises a trajectory's probability. "
    "Adam divides by the size of the gradient, so compare shapes and the ratio of the two lines, not heights."
)


def _where(plan: ShowPlan, met: Inputs) -> str:
    """Behind a figure's title."""
    if plan.config is None:
        return f": mean token log-probs from {plan.request.low:g} up"
    return f": {plan.config.task}, {plan.config.data}, n = {len(met.tokens)} rows"


def _title(plan: ShowPlan) -> str:
    where = f" on {plan.config.task}, {plan.config.data}" if plan.config else ""
    return f"The objective {plan.subject.name}{where}"


def _opening(plan: ShowPlan) -> Section:
    mirror, name = plan.subject.mirror, plan.subject.name
    kind = f"{name} is {plan.subject.note}." if mirror is None else f"{_switches(mirror)} {name}: {plan.subject.note}."
    return Section(_title(plan), (CLASS_TEXT, kind, _origin(plan)), CLASS_FORMULA)


def _switches(mirror: MirrorObjective) -> str:
    words = {"sum": "the log-prob of the whole trajectory", "mean": "the mean token log-prob"}
    reference = "with" if mirror.reference else "without"
    return f"φ⁻¹ is applied to {words[mirror.bracket]} and g to {words[mirror.imitation]}, {reference} a reference."


def _origin(plan: ShowPlan) -> str:
    if plan.config is None:
        return (
            f"Nothing was trained: all pairs of mean token log-probs from {plan.request.low:g} up stand for the data, "
            f"{RANGE_TOKENS} tokens long, with the reference halfway."
        )
    rows, inner = plan.config.rows, plan.config.inner
    return (
        f"Inputs are those of one real training for each objective on {plan.config.task}, {plan.config.data}: "
        f"{min(rows.count, MOST_ROWS)} rows of {rows.length} steps, {inner.epochs} epochs, from the original agent."
    )


def _maps_texts(subject: Shown, met: Inputs) -> tuple[str, ...]:
    over = "what each objective met in its training, grey shows how often (log scale)" if met.trained else "the range"
    how = (
        f"Inputs are {over}. Colour is training progress; a black line does not see it. φ⁻¹ and g are drawn less their "
        "value at the right end, as constants change no gradient."
    )
    if subject.mirror is None:
        return f"{subject.name} has no such functions: it is {subject.note}.", how
    return functions_sentence(subject, met), how


def _field_text(met: Inputs) -> str:
    where = (
        "the original agent's (after SFT, the policy's that SFT made), as the middle row has them; grey dots are the "
        "rows under the original agent, the blue line is the mean row from epoch to epoch"
        if met.trained
        else "halfway up the range"
    )
    return (
        "Arrows show -dL/d(mean token log-prob) of chosen and rejected at a row with these log-probs; colour is its "
        f"length, as a share of the objective's longest. The reference's log-probs are {where}."
    )


def _returns(plan: ShowPlan, curves: Curves | None, figures: Path) -> Section:
    title = "Return, epoch by epoch"
    if curves is None or plan.config is None:
        return Section(
            title, (f"Not computed: `mpo show {plan.request.objective} --train` judges policies on a task.",)
        )
    path = figures / "returns.png"
    draw_returns(path, plan.shown, curves, f"{plan.config.task}, {plan.config.data}")
    return Section(title, (returns_sentence(plan.shown, curves),), figure=path)


def _beside(plan: ShowPlan) -> Section:
    rows = tuple((one.name, one.note, str(one.sft_epochs)) for one in plan.shown)
    return Section("The objectives", table=HtmlTable(("objective", "settings", "epochs of SFT first"), rows))


def _provenance(plan: ShowPlan) -> dict[str, Any]:
    card, config = plan.subject.card, plan.config
    known: dict[str, Any] = {"shown": plan.request.objective.text, "versions now": versions()}
    if config is not None:
        known |= {
            "figures on": f"{config.task}, {config.data}", "rows": config.rows, "inner loop": config.inner,
            "seed of the units": f"{config.seed}, selection stream",
            "bin width of a token": load_card(config.task).bin_width,
        }  # fmt: skip
    if card is not None:
        known |= told_of(card)
    return known
