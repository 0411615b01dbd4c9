"""Making preference datasets: rolled out part by part, kept in a cache under a hash of everything they follow from."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from adapters.storage.dataset_files import (
    LAYOUT,
    SCHEMA_VERSION,
    DatasetCard,
    DatasetRecipe,
    PreferenceDataset,
    load_dataset,
    npz_bytes,
    put_whole,
    read_arrays,
    read_card,
    signed,
)
from adapters.storage.files import write_whole
from adapters.storage.folder_lock import locked_folder
from mpo_core.data.generate_pairs import agents_for, pair_episodes
from mpo_core.data.pair_bank import row_labels
from mpo_core.data.rows import PreferenceRows
from mpo_core.data.specification import DataSpec, parse_data_spec
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.program import RolloutProgram
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import RowSettings, UnusableSetting
from mpo_experiments.agents.lookup import check_agents, load_card
from mpo_experiments.datasets.description import dataset_numbers
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import agents_hash, data_hash, hash_of, simulation, versions
from mpo_experiments.tasks.registry import task_spec

PART_ROWS = 64
"""Rows of a part file: what an interrupted build repeats at most."""
NAME_DIGITS = 16
"""Of the recipe's hash, in a cached dataset's folder name."""
SEEDS = 2**31
STEP_ARRAYS = ("observation", "action", "reward", "alive")


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """What a dataset is rolled out with."""

    program: RolloutProgram
    agents: AbstractPolicy
    """Original, target and, where the data ask for it, other agent along a leading axis."""
    original: AbstractPolicy
    """The agent that the log-probs on the card are under."""


@dataclasses.dataclass(frozen=True)
class Built:
    """A dataset, where it is, and whether it was there already."""

    folder: Path
    dataset: PreferenceDataset
    reused: bool


def dataset_recipe(task: str, spec: DataSpec, size: RowSettings, seed: int) -> DatasetRecipe:
    """What a dataset of a task's agents is made from; starts no simulator.

    Raises:
        ValueError: no such task, no agents for it or not those that the data ask for, or a seed that is not one.
    """
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seed must lie between 0 and {SEEDS - 1}, not {seed}")
    check_agents(task, [str(spec)])
    backend, data = task_spec(task).backend, str(spec)
    everything = data_hash(task, backend, data, (size.count, size.length), seed)
    return DatasetRecipe(
        task=task, backend=backend, data=data, rows=size.count, length=size.length, seed=seed,
        bin_width=load_card(task).bin_width, agents_sha256=agents_hash(task, data), simulation=simulation(),
        recipe_sha256=hash_of([everything, str(SCHEMA_VERSION), str(PART_ROWS), Stream.DATASET.name]),
    )  # fmt: skip


def build_dataset(recipe: DatasetRecipe, cache: Path, reporter: Reporter) -> Built:
    """The dataset of a recipe: from the cache, or rolled out into it.

    Finished parts of an interrupted build are reused; the result is the same, byte for byte.

    Args:
        cache: folder of datasets, each under its hash.

    Raises:
        UnusableSetting: another process is at it, or the physics blew up.
    """
    folder = cache / recipe.recipe_sha256[:NAME_DIGITS]
    partial = folder.with_name(f"{folder.name}.partial")
    found = _cached(folder, recipe, reporter)
    if found is not None:
        shutil.rmtree(partial, ignore_errors=True)  # left by a build that was killed at its very end
        return Built(folder, found, reused=True)
    with locked_folder(partial, "dataset"):
        if folder.exists():  # another process has finished it in the meantime
            return Built(folder, load_dataset(folder), reused=True)
        dataset, content = _made(recipe, partial, reporter)
        put_whole(folder, content, dataset.card)
        shutil.rmtree(partial)
    return Built(folder, dataset, reused=False)


def copy_dataset(built: Built, out: Path) -> None:
    """Puts a copy of a dataset into a new or empty folder, whole or not at all."""
    put_whole(out, npz_bytes(built.dataset.arrays()), built.dataset.card)


def find_copy(out: Path, recipe: DatasetRecipe) -> Built | None:
    """The dataset of a recipe, if a folder of the user's holds it already; None where the folder is new or empty.

    Raises:
        ValueError: the folder holds something else, or the dataset but damaged.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        name = read_card(out).recipe_sha256
    except ValueError:
        name = ""
    if name != recipe.recipe_sha256:
        raise ValueError(f"--out {out}: holds something else: name a new folder")
    return Built(out, load_dataset(out), reused=True)


def rollouts_of(recipe: DatasetRecipe) -> Rollouts:
    """The task's agents and rollout program; imports the simulator."""
    from mpo_experiments.testbed import Testbed

    testbed = Testbed(recipe.task, length=recipe.length)
    agents = agents_for(parse_data_spec(recipe.data), testbed.agents)
    return Rollouts(testbed.program, agents, testbed.original)


def _cached(folder: Path, recipe: DatasetRecipe, reporter: Reporter) -> PreferenceDataset | None:
    if not folder.exists():
        return None
    try:
        found = load_dataset(folder)
        if found.card.recipe_sha256 != recipe.recipe_sha256:
            raise ValueError(f"dataset {folder}: is of another recipe")
        return found
    except ValueError as error:
        reporter.note(f"What the cache holds is made again: {error}")
        shutil.rmtree(folder)
        return None


# -- rolling out ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Episodes:
    """Who acts in each pair, and the key data of its episodes."""

    source: Int[np.ndarray, "row side"]
    keys: tuple[np.ndarray, np.ndarray]
    """Reset and action keys, an entry an episode."""

    def part(self, first: int, last: int) -> tuple[np.ndarray, tuple[Key[Array, " episode"], Key[Array, " episode"]]]:
        """Agents and keys of the episodes of some rows."""
        reset, act = (jax.random.wrap_key_data(jnp.asarray(data[2 * first : 2 * last])) for data in self.keys)
        return self.source[first:last].reshape(-1), (reset, act)


def _made(recipe: DatasetRecipe, partial: Path, reporter: Reporter) -> tuple[PreferenceDataset, bytes]:
    spec, key = parse_data_spec(recipe.data), stream_key(recipe.seed, Stream.DATASET)
    source, keys = pair_episodes(spec, recipe.rows, key=key)
    reset, act = (np.asarray(jax.random.key_data(one)) for one in keys)
    rollouts = rollouts_of(recipe)
    parts = _parts(recipe, rollouts, _Episodes(source, (reset, act)), partial, reporter)
    arrays = {name: np.concatenate([part.pop(name) for part in parts]) for name in STEP_ARRAYS}
    arrays["return_"] = (arrays["reward"] * arrays["alive"]).sum(-1)
    broken = int((~np.isfinite(arrays["return_"])).sum())
    if broken:
        raise UnusableSetting(
            f"the physics of task {recipe.task!r} blew up in {broken} trajectories: take another seed"
        )
    label_key = stream_key(recipe.seed, Stream.DATASET, Purpose.LABELS)
    rows, reward = _judged(arrays, source, spec, label_key)
    return _with_card(recipe, rows, reward, reset[::2], rollouts.original)


def _parts(
    recipe: DatasetRecipe, rollouts: Rollouts, episodes: _Episodes, partial: Path, reporter: Reporter
) -> list[dict[str, np.ndarray]]:
    """The steps of all pairs, part after part; those on disk are not rolled out again."""
    bounds = [(first, min(first + PART_ROWS, recipe.rows)) for first in range(0, recipe.rows, PART_ROWS)]
    paths = [partial / f"{first:08d}.npz" for first, _ in bounds]
    found = [_whole_part(path, last - first, recipe) for path, (first, last) in zip(paths, bounds, strict=True)]
    there = sum(last - first for part, (first, last) in zip(found, bounds, strict=True) if part is not None)
    if there:
        reporter.note(f"{there} of {recipe.rows} rows are there from a build that was interrupted")
    reporter.stage("Pairs of trajectories", 2 * recipe.rows * recipe.length, "step", done=2 * there * recipe.length)
    for number, (path, (first, last)) in enumerate(zip(paths, bounds, strict=True)):
        if found[number] is None:
            part = _rolled_out(rollouts, episodes, (first, last), recipe.length, reporter.advance)
            write_whole(path, npz_bytes(part))
            found[number] = part
    return [part for part in found if part is not None]


def _whole_part(path: Path, rows: int, recipe: DatasetRecipe) -> dict[str, np.ndarray] | None:
    """A part from disk; None where it is missing or damaged."""
    arrays = read_arrays(path)
    if arrays is None or set(arrays) != set(STEP_ARRAYS):
        return None
    fits = all(
        array.shape[:3] == (rows, 2, recipe.length) and array.dtype == LAYOUT[name][0] for name, array in arrays.items()
    )
    return arrays if fits else None


def _rolled_out(
    rollouts: Rollouts, episodes: _Episodes, part: tuple[int, int], length: int, advance: Callable[[int], None]
) -> dict[str, np.ndarray]:
    first, last = part
    blocks = []
    agent, keys = episodes.part(first, last)
    for block in rollouts.program.blocks(rollouts.agents, agent, keys, horizon=length):
        blocks.append(block)
        advance(block.alive.shape[0] * length)

    def by_pair(name: str) -> np.ndarray:
        whole = np.concatenate([np.asarray(getattr(block, name), LAYOUT[name][0]) for block in blocks])
        return whole.reshape(last - first, 2, *whole.shape[1:])

    return {name: by_pair(name) for name in STEP_ARRAYS}


# -- judging ----------------------------------------------------------------------------------------------------------


def _judged(
    arrays: dict[str, np.ndarray], source: np.ndarray, spec: DataSpec, key: Key[Array, ""]
) -> tuple[PreferenceRows, Float[np.ndarray, "row side time"]]:
    """Preference rows and their rewards, as `label_pairs` has them, with the big arrays sorted on the host."""
    return_, length = arrays.pop("return_"), arrays["alive"].sum(-1, dtype=np.float32)
    labels = row_labels(return_, length, source, spec, key=key)
    order = np.asarray(labels.order)

    def sort(leaf: np.ndarray) -> np.ndarray:
        return np.take_along_axis(leaf, order.reshape(order.shape + (1,) * (leaf.ndim - 2)), axis=1)

    steps = {name: sort(arrays.pop(name)) for name in STEP_ARRAYS}
    rows = PreferenceRows(
        observation=steps["observation"],
        action=steps["action"],
        alive=steps["alive"].astype(np.float32),
        return_=sort(return_),
        margin=np.asarray(labels.margin),
        flipped=np.asarray(labels.flipped),
        source=sort(source),
    )
    return rows, steps["reward"]


def _with_card(
    recipe: DatasetRecipe, rows: PreferenceRows, reward: np.ndarray, start_key: np.ndarray, original: AbstractPolicy
) -> tuple[PreferenceDataset, bytes]:
    """The dataset and the bytes of its rows.npz."""
    card = DatasetCard(
        **recipe.model_dump(), command=recipe.build_command, versions=versions(),
        observation_size=rows.observation.shape[-1], action_size=rows.action.shape[-1],
        numbers=dataset_numbers(rows, original),
    )  # fmt: skip
    content = npz_bytes(PreferenceDataset(card, rows, reward, start_key).arrays())
    return PreferenceDataset(signed(card, content), rows, reward, start_key), content
