"""The core of mpo: Mirror Preference Optimization objectives, the inner loop they drive, how they are compared.

Names are imported on first use, so that `import mpo_core` starts no JAX.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpo_core.data.fault import DataFault as DataFault, FlipFault as FlipFault
    from mpo_core.data.fault_registry import register_data_fault as register_data_fault
    from mpo_core.data.rows import PreferenceRows as PreferenceRows
    from mpo_core.data.specification import DataSpec as DataSpec, parse_data_spec as parse_data_spec
    from mpo_core.evaluation.statistics import (
        Interval as Interval,
        interquartile_mean as interquartile_mean,
        paired_difference as paired_difference,
        probability_of_improvement as probability_of_improvement,
        stratified_bootstrap as stratified_bootstrap,
    )
    from mpo_core.losses.card import LossCard as LossCard
    from mpo_core.losses.catalogue import (
        CatalogueEntry as CatalogueEntry,
        make_objective as make_objective,
        objective_ids as objective_ids,
        register_objective as register_objective,
    )
    from mpo_core.losses.members import as_mirror as as_mirror
    from mpo_core.mirror.learned import learned_mirror as learned_mirror
    from mpo_core.mirror.mirror_objective import MirrorObjective as MirrorObjective
    from mpo_core.objective.interface import AbstractObjective as AbstractObjective
    from mpo_core.objective.pair_log_probs import PairLogProbs as PairLogProbs
    from mpo_core.objective.setting import setting as setting
    from mpo_core.policies.gaussian import GaussianPolicy as GaussianPolicy
    from mpo_core.rollout.task import Task as Task, TaskState as TaskState
    from mpo_core.rollout.trajectory import Trajectory as Trajectory
    from mpo_core.settings import (
        EvaluationSettings as EvaluationSettings,
        InnerLoopSettings as InnerLoopSettings,
        RowSettings as RowSettings,
    )
    from mpo_core.training.learners import row_log_probs as row_log_probs

    __version__: str

PACKAGE = "mirror-po"
"""Its name among packages."""
_HOMES = {
    "AbstractObjective": "mpo_core.objective.interface",
    "CatalogueEntry": "mpo_core.losses.catalogue",
    "DataFault": "mpo_core.data.fault",
    "DataSpec": "mpo_core.data.specification",
    "EvaluationSettings": "mpo_core.settings",
    "FlipFault": "mpo_core.data.fault",
    "GaussianPolicy": "mpo_core.policies.gaussian",
    "InnerLoopSettings": "mpo_core.settings",
    "Interval": "mpo_core.evaluation.statistics",
    "LossCard": "mpo_core.losses.card",
    "MirrorObjective": "mpo_core.mirror.mirror_objective",
    "PairLogProbs": "mpo_core.objective.pair_log_probs",
    "PreferenceRows": "mpo_core.data.rows",
    "RowSettings": "mpo_core.settings",
    "Task": "mpo_core.rollout.task",
    "TaskState": "mpo_core.rollout.task",
    "Trajectory": "mpo_core.rollout.trajectory",
    "as_mirror": "mpo_core.losses.members",
    "interquartile_mean": "mpo_core.evaluation.statistics",
    "learned_mirror": "mpo_core.mirror.learned",
    "make_objective": "mpo_core.losses.catalogue",
    "objective_ids": "mpo_core.losses.catalogue",
    "paired_difference": "mpo_core.evaluation.statistics",
    "parse_data_spec": "mpo_core.data.specification",
    "probability_of_improvement": "mpo_core.evaluation.statistics",
    "register_data_fault": "mpo_core.data.fault_registry",
    "register_objective": "mpo_core.losses.catalogue",
    "row_log_probs": "mpo_core.training.learners",
    "setting": "mpo_core.objective.setting",
    "stratified_bootstrap": "mpo_core.evaluation.statistics",
}

__all__ = [
    "AbstractObjective",
    "CatalogueEntry",
    "DataFault",
    "DataSpec",
    "EvaluationSettings",
    "FlipFault",
    "GaussianPolicy",
    "InnerLoopSettings",
    "Interval",
    "LossCard",
    "MirrorObjective",
    "PairLogProbs",
    "PreferenceRows",
    "RowSettings",
    "Task",
    "TaskState",
    "Trajectory",
    "as_mirror",
    "interquartile_mean",
    "learned_mirror",
    "make_objective",
    "objective_ids",
    "paired_difference",
    "parse_data_spec",
    "probability_of_improvement",
    "register_data_fault",
    "register_objective",
    "row_log_probs",
    "setting",
    "stratified_bootstrap",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for; `__version__` is that of the installed package."""
    if name == "__version__":
        return importlib.metadata.version(PACKAGE)
    if name not in _HOMES:
        raise AttributeError(f"module 'mpo_core' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(_HOMES)
