"""Making the three models of a language task: taught by texts, measured and written with their card."""

import dataclasses
import datetime
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from adapters.storage.agent_files import AgentRecord, AgentsCard, OtherRecord, save_agents, save_other
from adapters.storage.language_files import facts_of
from mpo_core.policies.language import LanguagePolicy
from mpo_core.settings import AGENTS
from mpo_experiments.agents.measuring import MEASUREMENT_SEED, measure, token_log_probs
from mpo_experiments.reviews.grammar import LONGEST
from mpo_experiments.reviews.settings import LanguageRecipe, Lessons
from mpo_experiments.reviews.writing import taught, untaught
from mpo_experiments.tasks.load import load_task
from mpo_experiments.tasks.registry import task_spec

EPISODES = 1024
"""Of each model, for its return and for the log-probs of its tokens."""
RULE = "original: taught by its writer from fresh weights; target: the original, taught further by the best reviews"
OTHER_RULE = "taught by a writer of its own from other fresh weights"
VERSIONED = ("jax", "jaxlib", "equinox", "optax", "numpy")
REPORTED = 500
"""Updates between two lines of progress."""

Say = Callable[[str], None]


def language_settings(task: str, *, steps: int | None, seed: int | None) -> LanguageRecipe:
    """The task's recipe with another seed, and other updates for each of its models if told so."""
    recipe = task_spec(task).recipe
    assert isinstance(recipe, LanguageRecipe)
    if steps is not None:
        given = {name: dataclasses.replace(getattr(recipe, name), updates=steps) for name in AGENTS}
        recipe = dataclasses.replace(recipe, **given)
    return recipe if seed is None else dataclasses.replace(recipe, seed=seed)


def train_language_agents(
    task: str, recipe: LanguageRecipe, out_dir: Path, progress: Say = lambda line: None
) -> AgentsCard:
    """Teaches, measures and writes a task's models into `out_dir/<task>`.

    Args:
        progress: called with a line of text now and then.
    """
    models = _taught(task, recipe, progress)
    progress("measuring the models")
    environment = load_task(task)
    measured = measure(environment, models, episodes=EPISODES, horizon=LONGEST)
    own, wanted, others = token_log_probs(environment, models, episodes=EPISODES, horizon=LONGEST, levels=())
    steps = {name: getattr(recipe, name).updates for name in AGENTS}
    command = f"mpo agents train --task {task}{_steps_option(task, recipe)} --seed {recipe.seed}"
    settings, date = dataclasses.asdict(recipe), datetime.date.today().isoformat()
    returns = {role: record["sampled"].return_ for role, record in zip(AGENTS, measured, strict=True)}
    card = AgentsCard(
        task=task, backend=environment.backend, command=command, rule=RULE, settings=settings,
        snapshots={
            steps["original"]: returns["original"], steps["original"] + steps["target"]: returns["target"],
        },
        horizon=LONGEST, bin_width=1.0, activation="swish", language=facts_of(models[0]),
        measurement_seed=MEASUREMENT_SEED, date=date,
        versions={name: importlib.metadata.version(name) for name in VERSIONED},
        original=AgentRecord(steps=steps["original"], **measured[0]),
        target=AgentRecord(steps=steps["original"] + steps["target"], **measured[1]),
        token_log_probs=(own, wanted),
    )  # fmt: skip
    folder = out_dir / task
    save_agents(folder, card, models[:2])
    other = OtherRecord(
        steps=steps["other"], **measured[2], command=command, rule=OTHER_RULE, settings=settings["other"],
        snapshots={steps["other"]: returns["other"]}, token_log_prob=others, date=date,
    )  # fmt: skip
    card = card.model_copy(update={"other": other})
    save_other(folder, card, models[2])
    progress(f"{task}: " + ", ".join(f"{role} {found:.2f}" for role, found in returns.items()))
    return card


def _steps_option(task: str, recipe: LanguageRecipe) -> str:
    """How a recipe with other updates than the task's is asked for."""
    updates = recipe.original.updates
    return "" if language_settings(task, steps=None, seed=recipe.seed) == recipe else f" --steps {updates}"


def _taught(task: str, recipe: LanguageRecipe, progress: Say) -> tuple[LanguagePolicy, LanguagePolicy, LanguagePolicy]:
    def say(role: str, lessons: Lessons) -> Callable[[int, float], None]:
        def told(done: int, loss: float) -> None:
            if done % REPORTED == 0 or done == lessons.updates:
                progress(f"{task}: {role} {done:>6,} of {lessons.updates:,} updates, {-loss:.3f} nats a token")

        return told

    seeds = np.random.SeedSequence(recipe.seed).generate_state(5).tolist()
    fresh, again = (untaught(recipe, seed=seed) for seed in seeds[:2])
    original = taught(fresh, recipe.original, seed=seeds[2], progress=say("original", recipe.original))
    target = taught(original, recipe.target, seed=seeds[3], progress=say("target", recipe.target))
    other = taught(again, recipe.other, seed=seeds[4], progress=say("other", recipe.other))
    return original, target, other
