"""`mpo render`: a short film of agents side by side."""

from pathlib import Path
from typing import Annotated

import typer

from cli.context import Context, check_read
from cli.validation import check_file, interruptible, objective_named, validating_input

MOST_OBJECTIVES, LONGEST_FILM = 8, 120.0


def render(
    context: Context,
    task: Annotated[str, typer.Option(help="Task to film (mpo list tasks).")],
    objective: Annotated[
        list[str] | None,
        typer.Option(help="id, id:name=value,..., an objective file, or a run folder; repeatable, a panel each."),
    ] = None,
    data: Annotated[str, typer.Option(help="Preference data that objectives train on.")] = "mixed:0.75",
    preset: Annotated[str, typer.Option(help="Rows, length and inner loop as in this preset.")] = "quick",
    seconds: Annotated[float, typer.Option(min=0.1, max=LONGEST_FILM, help="Length of the film.")] = 8.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of data, training and start state.")] = 0,
    out: Annotated[Path | None, typer.Option(help="FILE.html or FILE.gif; TASK.html unless given.")] = None,
) -> None:
    """Film the original agent, the target agent and what objectives make of the original, side by side."""
    texts, path = objective or [], out or Path(f"{task}.html")
    with validating_input():
        from mpo_experiments.agents.lookup import check_agents
        from mpo_experiments.settings.run_config import build_config

        config = build_config({"task": task, "data": data, "preset": preset, "seed": seed})
        check_agents(task, [config.data] if texts else [])
        check_read(context, bool(texts), "goes with --objective", "data", "preset")
        if path.suffix not in (".html", ".gif"):
            raise ValueError(f"--out {path}: name a file that ends in .html or .gif")
        check_file("--out", path)
        if len(texts) > MOST_OBJECTIVES:
            raise ValueError(f"--objective: at most {MOST_OBJECTIVES} fit beside each other, not {len(texts)}")
        from mpo_core.evaluation.candidates import Candidate

        total = config.inner.epochs
        named = [objective_named(text) for text in texts]
        candidates = [(_shown(one.text), Candidate(one.load(), one.sft_epochs(total))) for one in named]
    from cli.display import Display, console
    from mpo_experiments.film.agents import film_agents
    from mpo_experiments.film.files import write_film
    from mpo_experiments.film.rollout import bodies_of, film
    from mpo_experiments.testbed import Testbed

    screen = console()
    with interruptible("Nothing was written."):
        testbed = Testbed(task)
        bodies_of(testbed.task)
        with Display(screen) as display:
            agents = film_agents(testbed, config, candidates, display)
            display.stage("Film", 1, "film")
            title = f"{task}, trained on {config.data}" if candidates else task
            made = film(
                testbed.task, agents, seconds=seconds, seed=seed, title=f"{title}: mode actions, one start state"
            )
            write_film(path, made)
            display.advance(1)
    for panel in made.panels:
        ended = "" if panel.fell is None else f", ended at {panel.fell * made.interval:.1f} s"
        screen.print(f"  {panel.name:<24} return {panel.return_[-1]:.0f}{ended}", markup=False)
    screen.print(f"Written to {path}", soft_wrap=True, markup=False)


def _shown(text: str) -> str:
    """An objective's name under its panel: that of its folder or file, where it is one."""
    return text if "/" not in text else Path(text).name
