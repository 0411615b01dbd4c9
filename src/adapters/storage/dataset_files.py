"""Preference datasets as files: rows.npz (plain arrays) beside card.json (what they are, how to make them again).

Nothing unpickles; hash, names, shapes and types are checked before an array is used. See docs/data.md.
"""

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt32
from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.storage.files import read_json, write_json, write_whole
from mpo_core.data.rows import PreferenceRows
from mpo_core.data.specification import parse_data_spec
from mpo_core.rollout.trajectory import Trajectory
from mpo_core.settings import RowSettings

FORMAT = "mpo-preference-data"
SCHEMA_VERSION = 1
CARD_FILE, ROWS_FILE = "card.json", "rows.npz"

LAYOUT = {
    "observation": ("float32", ("rows", 2, "length", "observation_size")),
    "action": ("float32", ("rows", 2, "length", "action_size")),
    "reward": ("float32", ("rows", 2, "length")),
    "alive": ("bool", ("rows", 2, "length")),
    "return_": ("float32", ("rows", 2)),
    "margin": ("float32", ("rows",)),
    "flipped": ("bool", ("rows",)),
    "source": ("int32", ("rows", 2)),
    "start_key": ("uint32", ("rows", None)),
}
"""The arrays of rows.npz: type and axes, named as on the card; side 0 is chosen, 1 rejected."""


class DatasetNumbers(BaseModel):
    """A dataset in figures. Shares lie in [0, 1], returns are true and undiscounted, deviations divide by n - 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows_original_original: int
    rows_original_target: int
    rows_target_target: int
    rows_with_other: int = 0
    """Rows with a trajectory of the task's other agent; only on the cards of data that have such."""
    labels_flipped: float
    """Share of rows whose label a fault turned."""
    labels_wrong: float
    """Share of rows whose chosen trajectory has the lower true return, whether by noise or by a soft judge."""
    chosen_from_target: float
    """Share of rows whose chosen trajectory is the target agent's."""
    return_chosen_mean: float
    return_chosen_deviation: float
    return_rejected_mean: float
    return_rejected_deviation: float
    return_difference_deviation: float
    """Root mean square of chosen minus rejected return: the unit of `margin`."""
    overlap: float | None
    """See `overlap`; null where one of the agents has no trajectory here."""
    steps_alive_mean: float
    ended_early: float
    """Share of trajectories that ended (by a fall) before the dataset's length."""
    tokens_a_step: int
    """Action dimensions."""
    token_log_prob_chosen_original: float
    """Mean over rows of the chosen trajectory's mean token log-prob under the original agent, in nats."""
    token_log_prob_rejected_original: float


class DatasetRecipe(BaseModel):
    """Everything that a dataset's bytes follow from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    backend: str
    data: str
    """Canonical data specification."""
    rows: int
    length: int
    """Steps of a trajectory at most."""
    seed: int
    bin_width: float
    """Width that turns densities of actions into probabilities of tokens, in action units."""
    agents_sha256: str
    """Over the agents' files."""
    simulation: dict[str, str]
    """Versions and devices that the bytes repeat on."""
    recipe_sha256: str
    """Over all of the above: the dataset's name in the cache."""

    @property
    def build_command(self) -> str:
        """Makes the dataset again."""
        size = f"--rows {self.rows} --length {self.length} --seed {self.seed}"
        return f"mpo data build --task {self.task} --data {self.data} {size}"


class DatasetCard(DatasetRecipe):
    """card.json: the recipe, the hash of rows.npz, and what is in it."""

    command: str
    """Makes the dataset again, byte for byte where versions, devices and agents are the same."""
    observation_size: int
    action_size: int
    numbers: DatasetNumbers
    versions: dict[str, str]
    """Of all packages that results depend on."""
    sha256: str = ""
    """Of rows.npz."""
    card_sha256: str = ""
    """Of the rest of the card, as `card_hash` has it."""
    schema_version: Literal[1] = SCHEMA_VERSION
    format: Literal["mpo-preference-data"] = FORMAT


@dataclasses.dataclass(frozen=True, eq=False)
class PreferenceDataset:
    """Preference rows with the rewards of their steps and the keys of their start states."""

    card: DatasetCard
    rows: PreferenceRows
    """numpy arrays; steps after a trajectory's end are zeros and count nowhere."""
    reward: Float[np.ndarray, "row side time"]
    start_key: UInt32[np.ndarray, "row word"]
    """Key data of the start state of each row, for `jax.random.wrap_key_data`."""

    @property
    def steps(self) -> Int[np.ndarray, "row side"]:
        """Alive steps of each trajectory."""
        return np.asarray(self.rows.alive).sum(-1).astype(np.int32)

    def trajectory(self, row: int, side: int) -> Trajectory:
        """One trajectory's alive steps."""
        last = int(np.asarray(self.rows.alive[row, side]).sum())
        rows = self.rows
        leaves = (rows.observation, rows.action, self.reward, rows.alive)
        return Trajectory(*(np.asarray(leaf[row, side, :last]) for leaf in leaves))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of rows.npz."""
        own = {"reward": self.reward, "start_key": self.start_key}
        found = {name: own[name] if name in own else getattr(self.rows, name) for name in LAYOUT}
        return {name: np.ascontiguousarray(found[name], dtype) for name, (dtype, _) in LAYOUT.items()}


def signed(card: DatasetCard, content: bytes) -> DatasetCard:
    """The card with the hash of its rows.npz, and its own."""
    with_rows = card.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    return with_rows.model_copy(update={"card_sha256": card_hash(card_json(with_rows))})


def card_hash(found: Mapping[str, Any]) -> str:
    """SHA-256 of a card's JSON with sorted keys, `card_sha256` left out."""
    rest = {name: value for name, value in found.items() if name != "card_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz file, not compressed: the same arrays give the same bytes, whatever the clock and the zlib."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def write_files(rows: Path, card_path: Path, content: bytes, card: DatasetCard) -> None:
    """The two files of a dataset, the card last, so that a card always has its rows."""
    write_whole(rows, content)
    write_json(card_path, card_json(card))


def card_json(card: DatasetCard) -> dict[str, Any]:
    """The card as JSON has it, format and version first."""
    found = card.model_dump(mode="json")
    if not card.numbers.rows_with_other:
        del found["numbers"]["rows_with_other"]
    return {name: found.pop(name) for name in ("format", "schema_version")} | found


def load_dataset(path: Path) -> PreferenceDataset:
    """A dataset from its folder, or from an npz file with its card beside it (`mpo data export --format npz`).

    Raises:
        ValueError: one sentence: missing, foreign, damaged, of another schema version, or of wrong shapes or types.
    """
    card = read_card(path)
    rows_path, card_path = dataset_paths(path)
    try:
        with rows_path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"dataset {rows_path}: cannot be read ({error.strerror})") from None
    if found != card.sha256:
        raise ValueError(f"dataset {rows_path}: does not match the hash in {card_path.name}, so it is damaged")
    arrays = read_arrays(rows_path)
    if arrays is None:
        raise ValueError(f"dataset {rows_path}: is not an npz file of plain arrays")
    _check_layout(rows_path, arrays, card)
    reward, start_key = arrays.pop("reward"), arrays.pop("start_key")
    alive = arrays.pop("alive").astype(np.float32)
    return PreferenceDataset(card, PreferenceRows(alive=alive, **arrays), reward, start_key)


def read_card(path: Path) -> DatasetCard:
    """The card of a dataset; its rows are not looked at.

    Raises:
        ValueError: one sentence: missing, foreign, damaged, or of another schema version.
    """
    card_path = dataset_paths(path)[1]
    found = read_json(card_path, "dataset card")
    if found.get("format") != FORMAT:
        raise ValueError(f'dataset card {card_path}: is not of an mpo dataset (no "format": "{FORMAT}")')
    if found.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"dataset card {card_path}: has schema version {found.get('schema_version')}, "
            f"this mpo reads {SCHEMA_VERSION}"
        )
    try:
        card = DatasetCard.model_validate(found)
        parse_data_spec(card.data)
        RowSettings(card.rows, card.length)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"dataset card {card_path}: '{where}': {first['msg']}") from None
    except ValueError as error:
        raise ValueError(f"dataset card {card_path}: {error}") from None
    if card.card_sha256 != card_hash(found):
        raise ValueError(f"dataset card {card_path}: does not match its own hash, so it is damaged or was edited")
    return card


def is_card(path: Path) -> bool:
    """Whether a file says that it is a dataset's card."""
    try:
        return read_json(path, "dataset card").get("format") == FORMAT
    except ValueError:
        return False


def dataset_paths(path: Path) -> tuple[Path, Path]:
    """Where a dataset's rows and card are."""
    if path.suffix == ".npz" and not path.is_dir():
        return path, path.with_suffix(".json")
    return path / ROWS_FILE, path / CARD_FILE


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of an npz file; None where it is missing, damaged or holds anything else."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
    return arrays if all(isinstance(array, np.ndarray) for array in arrays.values()) else None


def put_whole(folder: Path, content: bytes, card: DatasetCard) -> None:
    """A new dataset folder that is whole or not there: written beside, then renamed.

    Raises:
        OSError: the folder exists and is not empty, or cannot be written.
    """
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        write_files(beside / ROWS_FILE, beside / CARD_FILE, content, card)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _check_layout(path: Path, arrays: dict[str, np.ndarray], card: DatasetCard) -> None:
    if arrays.keys() != LAYOUT.keys():
        raise ValueError(f"dataset {path}: holds {', '.join(sorted(arrays)) or 'nothing'}, not {', '.join(LAYOUT)}")
    for name, (dtype, axes) in LAYOUT.items():
        wanted = tuple(getattr(card, axis) if isinstance(axis, str) else axis for axis in axes)
        array = arrays[name]
        fits = len(wanted) == array.ndim and all(
            want in (None, have) for want, have in zip(wanted, array.shape, strict=True)
        )
        if not fits or array.dtype != dtype:
            raise ValueError(
                f"dataset {path}: '{name}' is {array.dtype} {array.shape}, but its card asks for {dtype} {wanted}"
            )
