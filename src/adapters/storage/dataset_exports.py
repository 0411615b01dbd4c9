"""Preference datasets for others' tools: npz, Parquet (Hugging Face `datasets`), Minari. See docs/data.md.

`pyarrow` and `minari` are optional, and imported only when used.
"""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import tempfile
import unittest.mock
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from adapters.storage.dataset_files import (
    DatasetCard,
    DatasetRecipe,
    PreferenceDataset,
    card_json,
    dataset_paths,
    is_card,
    npz_bytes,
    write_files,
)
from adapters.storage.files import slug, write_whole
from mpo_core.data.rows import CHOSEN, REJECTED
from mpo_core.names import unknown_name
from mpo_core.settings import AGENTS, RowSettings

if TYPE_CHECKING:
    import pyarrow as pa
    from minari.data_collector import EpisodeBuffer

ExportFormat = Literal["npz", "parquet", "minari"]
NEEDS: dict[ExportFormat, tuple[str, ...]] = {"npz": (), "parquet": ("pyarrow",), "minari": ("minari", "h5py")}
"""Packages of each format."""
EXTRA = 'pip install "mirror-po[data]"'
CARD_KEY = "mpo_card"
"""Where the card is in a Parquet schema's metadata."""
SIDES = {"chosen": CHOSEN, "rejected": REJECTED}
MINARI_VARIABLE = "MINARI_DATASETS_PATH"
MINARI_NAMESPACE = "mpo"
ROWS_A_GROUP = 64
CLIPPED = "Actions are as the agent drew them; the simulator saw them clipped to [-1, 1]."
REPEATED = "The observation after the last step was not recorded: the last one is repeated in its place."
HORIZON = "An episode that ends before the dataset's length has fallen (terminated); the others are truncated."


def check_export(format: str, out: Path | None, recipe: DatasetRecipe) -> None:
    """Refuses an export that could not be written, before any work.

    Raises:
        ValueError: one sentence: no such format, its packages are missing, or `out` is no place for it.
    """
    if format not in NEEDS:
        raise unknown_name("format", format, NEEDS)
    missing = [name for name in NEEDS[format] if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"--format {format} needs {' and '.join(missing)}: {EXTRA}")
    if format == "minari":
        there = minari_root(out) / minari_id(recipe)
        if there.exists():
            raise ValueError(f"there is a Minari dataset {there} already: delete it, or name another folder by --out")
        return
    if out is None:
        raise ValueError(f"--format {format} needs --out FILE.{format}")
    if out.suffix != f".{format}" or out.is_dir():
        raise ValueError(f"--out {out}: name a file that ends in .{format}")
    card = dataset_paths(out)[1]
    if format == "npz" and card.exists() and not is_card(card):
        raise ValueError(f"--out {out}: {card}, where its card would go, is no dataset's card; name another file")


def export_npz(dataset: PreferenceDataset, out: Path) -> None:
    """FILE.npz with the arrays of rows.npz, and FILE.json with the card; `load_dataset` reads it."""
    write_files(*dataset_paths(out), npz_bytes(dataset.arrays()), dataset.card)


# -- Parquet ----------------------------------------------------------------------------------------------------------


def export_parquet(dataset: PreferenceDataset, out: Path) -> None:
    """A line a row: alive steps as nested lists, labels, and the card in the schema's metadata."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(parquet_table(dataset), buffer, row_group_size=ROWS_A_GROUP, compression="zstd")
    write_whole(out, buffer.getvalue())


def parquet_table(dataset: PreferenceDataset) -> "pa.Table":
    """The dataset as an Arrow table."""
    import pyarrow as pa

    rows, columns = dataset.rows, {"row": pa.array(np.arange(dataset.card.rows, dtype=np.int32))}
    for name, side in SIDES.items():
        alive = np.asarray(rows.alive[:, side]) > 0
        for what, leaf in (("observation", rows.observation), ("action", rows.action), ("reward", dataset.reward)):
            columns[f"{name}_{what}"] = _nested(np.asarray(leaf[:, side])[alive], alive.sum(1))
    for name, side in SIDES.items():
        columns[f"{name}_return"] = pa.array(np.asarray(rows.return_[:, side]))
    columns |= {"margin": pa.array(np.asarray(rows.margin)), "flipped": pa.array(np.asarray(rows.flipped))}
    for name, side in SIDES.items():
        columns[f"{name}_source"] = pa.array([AGENTS[agent] for agent in np.asarray(rows.source[:, side])])
    return pa.table(columns).replace_schema_metadata({CARD_KEY: json.dumps(card_json(dataset.card))})


def parquet_card(path: Path) -> dict[str, Any]:
    """The card in a Parquet file that `export_parquet` wrote.

    Raises:
        ValueError: there is none.
    """
    import pyarrow.parquet as pq

    found = (pq.read_schema(path).metadata or {}).get(CARD_KEY.encode())
    if found is None:
        raise ValueError(f"Parquet file {path}: was not written by `mpo data export`")
    return json.loads(found)


def _nested(steps: Float[np.ndarray, "alive ..."], lengths: Int[np.ndarray, " row"]) -> "pa.ListArray":
    """Steps of all rows, one row's after another's, as a list a row."""
    import pyarrow as pa

    values = pa.array(steps.reshape(-1))
    if steps.ndim == 2:
        values = pa.ListArray.from_arrays(np.arange(len(steps) + 1, dtype=np.int32) * steps.shape[1], values)
    return pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), values)


# -- Minari -----------------------------------------------------------------------------------------------------------


def minari_id(recipe: DatasetRecipe) -> str:
    """The dataset's name in Minari, which takes no dots: `mpo/hopper-mixed0p5_noisy0p1-v0`.

    Rows, length and seed are in it where they are not the defaults.
    """
    size = RowSettings()
    usual = (("rows", recipe.rows, size.count), ("length", recipe.length, size.length), ("seed", recipe.seed, 0))
    other = "".join(f"-{name}{value}" for name, value, default in usual if value != default)
    data = slug(recipe.data).replace(".", "p")
    return f"{MINARI_NAMESPACE}/{recipe.task}-{data}{other}-v0"


def minari_root(out: Path | None) -> Path:
    """The folder of local Minari datasets: `out`, or else where Minari itself looks.

    Absolute: under a relative one Minari (0.5.4) joins the path to itself when it adds up file sizes.
    """
    own = os.environ.get(MINARI_VARIABLE)
    return (out or (Path(own) if own else Path.home() / ".minari" / "datasets")).absolute()


def export_minari(dataset: PreferenceDataset, out: Path | None) -> Path:
    """An episode a trajectory (2 x rows): row r's chosen one is episode 2 r, its rejected one 2 r + 1.

    Each episode's metadata and infos say its row, side, label and source. Written beside and renamed, so that the
    dataset is whole or not there.

    Returns:
        The dataset's folder, under `minari_root(out)`.

    Raises:
        OSError: it exists, or cannot be written.
    """
    import minari

    root, name = minari_root(out), minari_id(dataset.card)
    episodes = [(row, side) for row in range(dataset.card.rows) for side in SIDES]
    root.mkdir(parents=True, exist_ok=True)
    with _minari_beside(root) as beside:
        written = minari.create_dataset_from_buffers(
            name, [_episode(dataset, row, side) for row, side in episodes],
            observation_space=_unbounded(dataset.card.observation_size),
            action_space=_unbounded(dataset.card.action_size),
            algorithm_name="mpo data build", description=_minari_description(dataset.card),
        )  # fmt: skip
        written.storage.update_episode_metadata(_labels(dataset, row, side) for row, side in episodes)
        written.storage.update_metadata({"mpo_card": card_json(dataset.card)})
        namespace = root / MINARI_NAMESPACE
        namespace.mkdir(exist_ok=True)
        for file in (beside / MINARI_NAMESPACE).glob("*.json"):  # what makes the folder a namespace
            write_whole(namespace / file.name, file.read_bytes())
        (beside / name).rename(root / name)
    return root / name


@contextlib.contextmanager
def _minari_beside(root: Path) -> Iterator[Path]:
    """While open, Minari's datasets are in a hidden folder, which goes away; Minari warns of nothing."""
    beside = Path(tempfile.mkdtemp(prefix=".mpo-export-", dir=root))
    try:
        with (
            unittest.mock.patch.dict(os.environ, {MINARI_VARIABLE: str(beside)}),
            warnings.catch_warnings(),
        ):
            # it wants an author, a permalink and a Gymnasium environment, which there are not
            warnings.filterwarnings("ignore", category=UserWarning, module="minari")
            yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _episode(dataset: PreferenceDataset, row: int, side: str) -> "EpisodeBuffer":
    from minari.data_collector import EpisodeBuffer

    taken = dataset.trajectory(row, SIDES[side])
    steps = len(taken.reward)
    last = np.arange(steps) == steps - 1
    fell = steps < dataset.card.length
    observation = np.asarray(taken.observation)
    labels = _labels(dataset, row, side)
    numbers = {
        "row": np.int32(row),
        "chosen": np.bool_(side == "chosen"),
        "from_target": np.bool_(labels["source"] == "target"),
        "flipped": np.bool_(labels["flipped"]),
        "margin": np.float32(labels["margin"]),
    }
    return EpisodeBuffer(
        observations=np.concatenate([observation, observation[-1:]]),  # pyright: ignore[reportArgumentType]
        actions=taken.action,  # pyright: ignore[reportArgumentType]
        rewards=taken.reward,  # pyright: ignore[reportArgumentType]
        terminations=last & fell,  # pyright: ignore[reportArgumentType]
        truncations=last & (not fell),  # pyright: ignore[reportArgumentType]
        infos={name: np.full(steps + 1, value) for name, value in numbers.items()},
    )


def _labels(dataset: PreferenceDataset, row: int, side: str) -> dict[str, Any]:
    """What an episode's metadata say."""
    rows, at = dataset.rows, SIDES[side]
    return {
        "row": row, "side": side, "source": AGENTS[int(rows.source[row, at])], "flipped": bool(rows.flipped[row]),
        "margin": float(rows.margin[row]), "return": float(rows.return_[row, at]),
    }  # fmt: skip


def _unbounded(size: int) -> Any:
    from gymnasium.spaces import Box

    return Box(-np.inf, np.inf, (size,), np.float32)


def _minari_description(card: DatasetCard) -> str:
    return (
        f"Preference data '{card.data}' on brax {card.task} ({card.backend} physics): {card.rows} rows of two "
        f"trajectories from one start state, episode 2 r the chosen one of row r, episode 2 r + 1 the rejected one. "
        f"{REPEATED} {CLIPPED} {HORIZON} Made by `{card.command}`."
    )
